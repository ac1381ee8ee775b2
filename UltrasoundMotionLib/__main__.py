"""Entry point of `python -m UltrasoundMotionLib` and of `ultrasound-motion`, the same command."""

from UltrasoundMotionLib.interrupts import run_process


def main() -> None:
    """Runs the command line of this process and ends the process; signals are handled from the first import on."""
    run_process(_command_line)


def _command_line() -> int:
    from UltrasoundMotionLib.deferred_modules import defer_modules
    from UltrasoundMotionLib.quick_import import rest_collector_during_imports

    defer_modules()
    rest_collector_during_imports()
    from UltrasoundMotionLib.cli.main import main as run

    return run()


if __name__ == "__main__":
    main()
