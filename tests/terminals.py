"""What a person sees on a terminal, from the bytes that it was sent."""

import re

_PIECES = re.compile(r"\x1b\[([0-9;?]*)([a-zA-Z])|(\r|\n)|([^\r\n\x1b]+)")


def screen(sent: str) -> list[str]:
    """The lines that are left on it, without colours: as far as rich and we use one."""
    lines, row, column = [""], 0, 0
    for number, command, move, text in (match.groups() for match in _PIECES.finditer(sent)):
        if move == "\r":
            column = 0
        elif move == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif command == "A":
            row = max(0, row - int(number or 1))
        elif command == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        elif text:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
    return [line for line in lines if line.strip()]
