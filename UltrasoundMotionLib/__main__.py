"""Entry point of `python -m UltrasoundMotionLib` and of `ultrasound-motion`, the same command."""

from UltrasoundMotionLib.interrupts import run_process


def main() -> None:
    """Runs the command line of this process and ends the process; signals are handled from the first import on."""

    def command() -> int:
        from UltrasoundMotionLib.deferred_modules import defer_modules

        defer_modules()
        from UltrasoundMotionLib.cli.main import main as run

        return run()

    run_process(command)


if __name__ == "__main__":
    main()
