"""What the sample's messages are about, who writes them, and text in other alphabets (charset, subject, body)."""

PEOPLE = [
    "Ada Okafor <ada@example.org>",
    '"Lindqvist, Maja" <maja@example.org>',
    "=?utf-8?q?Zo=C3=AB_M=C3=BCller?= <zoe@example.net>",
    "bo@example.com",
    "Noor Haddad (on the road) <noor@example.org>",
    "=?iso-2022-jp?b?GyRCOzNFREJATzobKEI=?= <taro@example.jp>",
]
TOPICS = [
    "Roof repair",
    "Train to Lund",
    "Choir on Thursday",
    "Budget draft",
    "Garden plan",
    "Release 0.9",
    "Reading list",
    "Bike workshop",
    "Lunch & learn",
    'The "blue" folder',
]
SENTENCES = [
    "The plan stands, but the date has moved by two days.",
    "Could you look at the second page before we send it?",
    "I've put the figures next to last year's; they don't agree.",
    "Nobody has answered yet, so I will ask again on Monday.",
    "It was 4 < 5 & still too dear, they said.",
    "Bring the ladder, and please the long one.",
    "We met at the station and walked from there.",
    "Der Zug hält heute nicht in Göttingen.",
    "What is left can wait until the spring.",
    "Thanks for the photos, the third is the best.",
]
ALPHABETS = [
    ("iso-8859-1", "Räksmörgås på fredag", "Vi ses på kaféet klockan tolv.\r\n"),
    ("koi8-r", "Встреча в четверг", "Добрый день! Встречаемся возле театра.\r\n"),
    ("shift_jis", "会議の件", "木曜日の会議についてお知らせします。\r\n"),
    ("big5", "會議通知", "星期四開會請準時。\r\n"),
    ("windows-1252", "Prices in € \u2013 \u201cfinal\u201d", "That\u2019s €40 \u2013 no more.\r\n"),
]
