"""`ultrasound-motion`: each verb a thin file over the capability that it names."""
