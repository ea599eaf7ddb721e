"""Runs a program as one evolution and returns its exit code."""

from __future__ import annotations

import argparse
import errno
import os
import sys

from evometrics.deploy.program.output import Output
from evometrics.deploy.program.plan import plan_of
from evometrics.deploy.program.recording import ProgramRecording
from evometrics.deploy.program.result import KpiFile, NoObject, Said, of_line, sorted_out
from evometrics.deploy.program.running import Program
from evometrics.deploy.terminal import tell


def run_program(args: argparse.Namespace) -> int:
    """Run the program that the flags name; return its exit code, whatever becomes of the recording."""
    plan = plan_of(args, os.environ)
    for name, value in plan.environ.items():
        try:
            os.environ[name] = value
        except ValueError as error:  # a NUL
            tell(f"evometrics record: without {name}: {error}")
    file = None if args.kpis is None else KpiFile(args.kpis)
    output = None
    if file is not None:
        file.note()
    else:
        output = passed_on()
    program = Program(args.program, os.environ, output)
    program.start()
    recording = ProgramRecording(plan, program, traceback=args.traceback)
    recording.start()
    ended = program.wait()
    line = b"" if output is None else output.finish()
    # as alone: the program would have been told that its output is lost
    code = ended.code or int(output is not None and output.incomplete)
    if not recording.finish(ended, said_by(file, line)):
        # what hangs must not keep the caller waiting
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
    return code


def passed_on() -> Output | None:
    """Return what passes the program's output on; None where there is none, or no way to stand between."""
    try:
        return Output()
    except OSError as error:
        if error.errno != errno.EBADF:
            tell(f"evometrics record: no KPIs from the output: {error}")
        return None


def said_by(file: KpiFile | None, line: bytes) -> Said:
    """Return what the program has said of its evolution."""
    if file is None:
        return sorted_out(of_line(line))
    try:
        return sorted_out(file.read())
    except NoObject as error:
        tell(f"evometrics record: no KPIs: {error}")
        return Said()
