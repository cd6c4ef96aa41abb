"""Programs end in one line: on bad input, a machine that gives out, signals, and streams that nobody reads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bias_jax.endings import run
from bias_jax.errors import InputError, WriteError, out_of_memory

ROOT = Path(__file__).parents[1]
START = "import os, sys, time\nfrom bias_jax.endings import run\n"
# What is started in the background of a shell ignores interrupts, and so does all that it starts.
HEEDS = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
WAITS = (
    HEEDS
    + START
    + """
def program():
    open(sys.argv[1], "w").close()
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.3)  # a second signal comes meanwhile
        os.unlink(sys.argv[1])
sys.exit(run(program))
"""
)
SWALLOWS = (
    START
    + """
class Finalised:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)
def program():
    Finalised()
    time.sleep(60)
sys.exit(run(program))
"""
)
IMPORTS = "import sys\nsys.argv[0] = '-m'\nimport experiments, time\nprint('ready', flush=True)\ntime.sleep(60)"


def start(code, *arguments, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, text=True, **pipes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_signals_end_in_one_line_and_leave_nothing(number, times, tmp_path):
    process = start(WAITS, tmp_path / "temporary")
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        process.send_signal(number)
        if times > 1:
            signal.sigtimedwait([], 0.1)
    _, errors = process.communicate(timeout=30)
    assert errors == "interrupted: run the same command again to continue\n"
    assert process.returncode == 128 + number and not (tmp_path / "temporary").exists()


@pytest.mark.parametrize("code", [SWALLOWS, IMPORTS])
def test_signals_where_nothing_can_be_raised_and_while_a_program_starts(code):
    process = start(code)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert errors == "interrupted: run the same command again to continue\n" and process.returncode == 143


def test_a_signal_that_is_ignored_stays_so():
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + START
    code += "sys.exit(run(lambda: os.kill(os.getpid(), signal.SIGINT) or 7))"
    process = start(code)
    assert process.communicate(timeout=30)[1] == "" and process.returncode == 7


def test_a_pipe_that_nobody_reads():
    reading, writing = os.pipe()
    os.close(reading)
    for output in ("print('x' * 100)", "print('x' * 10**6)", "sys.exit(print('help') or 0)"):
        process = start(START + f"def program():\n    {output}\n    return 0\nsys.exit(run(program))", stdout=writing)
        assert process.communicate(timeout=30)[1] == "" and process.returncode == 141, output
    os.close(writing)


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_streams_that_are_closed_lead_nowhere(closed, tmp_path):
    """A file that is opened later must not get what is printed."""
    code = "import sys\nsys.argv[0] = '-m'\nimport experiments\n" + START
    code += """def program():
    with open(sys.argv[1], "w") as file:
        print("printed")
        os.write(1, b"written"); os.write(2, b"written")
        file.write("mine")
    return 0
sys.exit(run(program))"""
    closing = " ".join(f"{number}>&-" for number in closed)
    command = f"exec {sys.executable} -c '{code.replace(chr(39), chr(34))}' {tmp_path / 'file'} {closing}"
    found = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert found.returncode == 0 and (tmp_path / "file").read_text() == "mine", found.stderr
    assert "Traceback" not in found.stderr


ENDS = {
    "bad input": (InputError("is bad", remedy="mend it"), 2, "error: is bad. Way out: mend it"),
    "full disk": (WriteError("cannot be written", file="a"), 1, "error: a: cannot be written"),
    "host memory": (MemoryError(), 1, "error: not enough memory (MemoryError). Way out: "),
    "host memory of C++": (RuntimeError("std::bad_alloc"), 1, "not enough memory (RuntimeError: std::bad_alloc)"),
    "device memory": (RuntimeError("RESOURCE_EXHAUSTED: of 1\nof 2"), 1, "(RuntimeError: RESOURCE_EXHAUSTED: of 1)"),
    "full disk behind standard output": (OSError(28, "No space left"), 1, "error: standard output or a file: cannot"),
    "full disk behind another file": (OSError(28, "No space left", "x"), 1, "error: x: cannot be written: no space"),
    "interrupted": (KeyboardInterrupt(), 130, "interrupted: "),
}


@pytest.mark.parametrize("case", ENDS)
def test_every_end_has_one_line_and_a_status(case, capsys):
    error, status, line = ENDS[case]

    def program():
        raise error

    assert run(program) == status
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1


def test_what_nobody_foresaw_is_not_hidden():
    assert run(lambda: 3) == 3
    for error in (RuntimeError("broken"), FileNotFoundError(2, "absent", "x"), OSError("no number")):
        assert not out_of_memory(error)
        with pytest.raises(type(error)):
            run(lambda error=error: (_ for _ in ()).throw(error))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["experiments.sweep --help", "experiments.data --help", "converters list"])
def test_commands_whose_output_nobody_reads(command):
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE,
                           text=True, timeout=120)  # fmt: skip
    os.close(writing)
    assert found.stderr == "" and found.returncode in (0, 141)  # argparse looks away by itself
