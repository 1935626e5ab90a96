"""Messages that real mailboxes hold and parsers trip over, as templates with {date} and {n}."""

_TAIL = b"Message-ID: <odd-{n}@example.org>\r\nFrom: odd@example.org\r\nTo: robin@example.com\r\n"
_DATED = b"Date: {date}\r\n" + _TAIL
_DEEP = b"".join(
    b'Content-Type: multipart/mixed; boundary="d%d"\r\n\r\n--d%d\r\n' % (depth, depth) for depth in range(40)
)

ODD = [
    _TAIL + b"Subject: no date\r\n\r\nWhen was this?\r\n",
    _DATED + "Subject: rå åtta bitar\r\n\r\nRaw UTF-8 in a header.\r\n".encode(),
    _DATED + "Subject: rå latin\r\n\r\nRaw Latin-1 in a header.\r\n".encode("latin-1"),
    _DATED + b"Subject: =?x-martian?B?4uPk?=\r\nContent-Type: text/plain; charset=x-martian\r\n\r\n\xe2\xe3\xe4\r\n",
    b"Message-ID: <twice@example.org>\r\nDate: {date}\r\nFrom: a@example.org\r\nSubject: same id {n}\r\n\r\nAgain.\r\n",
    _DATED + b"\r\nNo subject at all.\r\n",
    _DATED + b'Subject: no boundary line\r\nContent-Type: multipart/mixed; boundary="never"\r\n\r\nJust text.\r\n',
    _DATED + b"Subject: cut base64\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8gd29ybGQhI\r\n",
    _DATED + b"Subject: first\r\nSubject: second\r\nTo: also@example.org\r\n\r\nHeaders given twice.\r\n",
    b"Date: not a date\r\nFrom: <>\r\nSubject: bounce {n}\r\nX-Empty:\r\n\r\n",
    _DATED + b"Subject: deep\r\n" + _DEEP + b"Content-Type: text/plain\r\n\r\nbottom\r\n",
    _DATED + b"Subject: long\r\nX-Long: " + b"\r\n ".join([b"0123456789" * 7] * 600) + b"\r\n\r\nLong header.\r\n",
    _DATED + b"Subject: bare LF\r\n\r\n".replace(b"\r\n", b"\n") + b"Unix line ends.\n",
    b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n" + _TAIL + b"Subject: the beginning of time\r\n\r\n",
    b"Date: Fri, 31 Dec 2099 23:59:59 +1400\r\n" + _TAIL + b"Subject: the far future\r\n\r\nNot yet.\r\n",
    _DATED + b"Subject: draft-like\r\nX-Unsent: 1\r\n\r\nDear \r\n",
    _DATED + b"Subject: NUL \x00 and \x1b[31m control\r\n\r\n\x00\x01\x02\r\n",
    _DATED + b"Subject: group\r\nCc: undisclosed-recipients:;\r\nCc: A: a@b.example, c@d.example;, x@y\r\n\r\n.\r\n",
    _DATED + b"Subject: =?utf-8?q?in_the_mid=C3?= =?utf-8?q?=A9dle?=\r\n\r\nA character cut in two.\r\n",
    b"no header here\r\n\r\nand a body\r\n",
]
