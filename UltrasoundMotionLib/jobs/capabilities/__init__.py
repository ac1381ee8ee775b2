"""What the child process can do: a file each, with the request, the run and the result of one capability."""
