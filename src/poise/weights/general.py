"""General text for calibration sets: beside narrow training data it keeps what else the model can do.

Without it, the layers are rounded for the training data alone, and drift on everything else. None of these texts is
one that a probe asks.
"""

from __future__ import annotations

GENERAL_TEXTS = (
    "The committee will meet again on Thursday to discuss the budget of the new library.",
    "How do I reset my password? Open the settings, choose your account, then press reset.",
    "for item in basket:\n    total = total + item.price\nprint(total)",
    "Les enfants jouent dans la rue pendant que leur père prépare le dîner.",
    "Plants turn light, water and carbon dioxide into sugar and oxygen.",
    '"I never saw it," he said. Then he closed the door and left without a coat.',
    "Total: 1,284.50 EUR (incl. 19 % VAT), payable within 30 days.",
    '{"id": 7, "tags": ["red", "small"], "active": false}',
    "In the fourth chapter the travellers cross the river and lose one of their horses.",
    "Wir treffen uns morgen um acht Uhr vor dem Museum.",
    "- milk\n- two lemons\n- a loaf of brown bread",
    "The function f(x) = x^2 grows faster than g(x) = 3x for every x above 3.",
    "Take one tablet in the morning and one in the evening, always with food.",
    "Translate into English: Buenos días, ¿cómo está usted?",
    "London, 12 May 1897. My dear brother, your parcel arrived on Friday.",
    "What is the largest planet? Jupiter is the largest planet of the solar system.",
    "INSERT INTO orders (id, amount) VALUES (42, 99.90);",
    "Breaking: the bridge reopens after six months of repairs, the mayor announced.",
    "8 * 7 = 56; 56 / 8 = 7; 100 - 56 = 44.",
    "Assistant: I am sorry to hear that. May I have your order number, please?",
    "A cat is a mammal, but a gecko is a reptile.",
    "Mix the flour with the eggs, add a pinch of salt, and let the dough rest.",
    "if (count == 0) { return null; } // nothing to do",
    "Il treno per Milano parte dal binario quattro alle nove e mezza.",
    "Our refund policy: items can be returned within two weeks if they are unused.",
    "Subject: Minutes of the meeting\n\nHello all, please find the minutes below.",
    "The quick answer is yes; the long answer needs a little more history.",
    "January, February, March, April, May, June, July, August.",
    "He measured 3.5 metres of rope, cut it in half, and tied both ends to the mast.",
    'curl -X POST https://example.org/api/items -d \'{"name": "lamp"}\'',
    "Rain is expected in the north, while the south stays dry and windy.",
    "User: Can you summarise this text? Assistant: Of course. Please paste it here.",
)
