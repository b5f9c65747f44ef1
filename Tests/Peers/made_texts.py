"""Texts that are made: near duplicates of others, and data of persons who don't exist. Tests and measurements use them."""

from __future__ import annotations

import random

# --- Near duplicates -------------------------------------------------------------------------------------------------


def shingles(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


def jaccard(one: list[str], other: list[str]) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def changed(words: list[str], wanted: float, draw: random.Random) -> list[str]:
    """Words replaced here and there until a text is only so similar to itself."""
    result = list(words)
    while jaccard(words, result) > wanted:
        result[draw.randrange(len(result))] = f"word{draw.randrange(10**6)}"
    return result


# --- Personal data ---------------------------------------------------------------------------------------------------


def luhn(digits: str) -> str:
    total = sum(sum(divmod(int(digit) * (1 + index % 2), 10)) for index, digit in enumerate(reversed(digits + "0")))
    return digits + str(-total % 10)


def iban(country: str, account: str) -> str:
    number = int("".join(str(int(character, 36)) for character in account + country + "00"))
    return f"{country}{98 - number % 97:02}{account}"


def chinese_id(draw: random.Random) -> str:
    body = f"{draw.choice(['110101', '310104', '440305', '510107'])}{draw.randrange(1950, 2010)}{draw.randrange(1, 13):02}"
    body += f"{draw.randrange(1, 29):02}{draw.randrange(1000):03}"
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])) % 11]


def french_id(draw: random.Random) -> str:
    body = f"{draw.choice('12')}{draw.randrange(100):02}{draw.randrange(1, 13):02}{draw.randrange(1, 96):02}{draw.randrange(10**6):06}"
    return f"{body}{97 - int(body) % 97:02}"


def german_id(draw: random.Random) -> str:
    digits = draw.sample(range(10), 10)
    if digits[0] == 0:
        digits.reverse()
    digits[draw.randrange(1, 10)] = digits[0]
    product = 10
    for digit in digits:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    return "".join(map(str, digits)) + str((11 - product) % 10)


def verhoeff(digits: str) -> str:
    def times(a: int, b: int) -> int:
        return (a + b if a < 5 else a - b) % 5 + (0 if (a < 5) == (b < 5) else 5)

    permutation = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    for last in range(10):
        check = 0
        for index, digit in enumerate(reversed(digits + str(last))):
            value = int(digit)
            for _ in range(index % 8):
                value = permutation[value]
            check = times(check, value)
        if check == 0:
            return digits + str(last)
    raise AssertionError


def examples(draw: random.Random) -> dict[str, list[str]]:
    """Data of persons as it is written in six countries, by its kind."""

    def n(count: int, first: str = "0123456789") -> str:
        return draw.choice(first) + "".join(draw.choice("0123456789") for _ in range(count - 1))

    def name() -> str:
        return draw.choice(["anna", "j.smith", "li_wei", "m-dupont", "raj99", "o'neil".replace("'", ""), "k+news"])

    aadhaar = verhoeff(n(11, "23456789"))
    card = luhn(draw.choice(["4" + n(14), "51" + n(13), "6225" + n(11)]))
    amex = luhn("37" + n(12))
    french = iban("FR", n(23))
    return {
        "email": [f"{name()}@{draw.choice(['example.com', 'mail.co.uk', 'firma-gmbh.de', '163.com', 'sub.uni.edu.cn'])}"],
        "phone": [
            f"+86 138 {n(4)} {n(4)}", f"13{n(9)}", f"139-{n(4)}-{n(4)}", f"010-{n(8, '2345678')}", f"(0755) {n(8, '2345678')}",
            f"({n(3, '23456789')}) {n(3, '23456789')}-{n(4)}", f"{n(3, '23456789')}-{n(3, '23456789')}-{n(4)}", f"+1 {n(3, '2')}-555-{n(4)}",
            f"1-800-{n(3, '2345')}-{n(4)}", f"{n(3, '234')}.{n(3, '2345')}.{n(4)}",
            f"020 7{n(3)} {n(4)}", f"07{n(3)} {n(6)}", f"+44 20 7{n(3)} {n(4)}", f"01632 {n(6)}", f"07{n(9)}",
            f"030/{n(7, '123456789')}", f"0151 {n(8)}", f"+49 (0)89 {n(7, '123456789')}", f"0049 30 {n(7)}", f"089-{n(6, '123456789')}",
            f"06 {n(2)} {n(2)} {n(2)} {n(2)}", f"01.{n(2)}.{n(2)}.{n(2)}.{n(2)}", f"+33 6 {n(2)} {n(2)} {n(2)} {n(2)}", f"06{n(8)}",
            f"+91 9{n(4)} {n(5)}", f"98{n(3)}-{n(5)}", f"9{n(9)}", f"022-{n(8, '2345678')}",
        ],
        "identity_number": [
            chinese_id(draw), f"{draw.randrange(1, 600):03}-{draw.randrange(1, 100):02}-{draw.randrange(1, 10000):04}",
            f"AB{n(6)}C", f"JK {n(2)} {n(2)} {n(2)} A", german_id(draw), french_id(draw),
            f"{aadhaar[:4]} {aadhaar[4:8]} {aadhaar[8:]}",
        ],
        "card": [card, f"{card[:4]} {card[4:8]} {card[8:12]} {card[12:]}", f"{amex[:4]}-{amex[4:10]}-{amex[10:]}"],
        "iban": [iban("DE", n(18)), iban("GB", "NWBK" + n(14)), " ".join(french[start : start + 4] for start in range(0, 27, 4))],
        "ip_address": [f"{draw.randrange(11, 200)}.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}",
                       f"2001:db8:{draw.randrange(4096, 65536):x}::{draw.randrange(4096, 65536):x}"],
        "key": ["AKIA" + "".join(draw.choice("ABCDEFGHIJKLMNOP234567") for _ in range(16)),
                "ghp_" + "".join(draw.choice("abcdefghijABCDEFGH0123456789") for _ in range(36))],
    }


FRAMES = ["Please write to {} today.", "{}", "用户的资料是{}，请保密。", "My data ({}) is private; don't share it.", "Contact: {}\nThanks!"]


def personal_data(count: int, draw: random.Random) -> list[tuple[str, str]]:
    """So many, each with its kind: all kinds, and all ways to write one, about equally often."""
    made: list[tuple[str, str]] = []
    while len(made) < count:
        made += [(kind, value) for kind, values in examples(draw).items() for value in draw.sample(values, min(3, len(values)))]
    return made
