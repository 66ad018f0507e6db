"""Phrases: the texts of the generated conversations."""
# ruff: noqa: RUF001 - people write curly quotes, dashes and arrows

from __future__ import annotations

# The pools hold what breaks careless code: quotes, backslashes, newlines, U+2028, combining
# characters, right-to-left text, and characters outside the Basic Multilingual Plane.
QUESTIONS: tuple[str, ...] = (
    "Hi! How do I change the colour of the widget?",
    "Where can I find my invoices?",
    "Does the Pro plan include human handover?",
    "My API key starts with pk_. Is that the right one for the server?",
    "The widget does not show up on our Shopify store 😕",
    "Can I export all conversations of last month?",
    "Wie kann ich die Sprache des Chats auf Deutsch umstellen?",
    "¿Puedo cambiar el plan a mitad de mes?",
    "料金プランの違いを教えてください。",
    "هل يمكنني ربط المساعد بواتساب؟",
    "Bonjour, j’ai été facturé deux fois 😡",
    "Does it work with React 19 and Next.js?",
    'I get the error "Access denied to this conversation". What does it mean?',
    "thanks",
    "Can you please repeat that?",
    "What is your refund policy?",
    "I want to talk to a human please",
    "How many pages can the crawler index?",
    "Is there a way to train it on PDFs, e.g. C:\\docs\\manual.pdf?",
    "ok 👍",
    "How do I delete a visitor’s data? We have a GDPR request.",
    "Why did the assistant answer in English when I asked in Čeština?",
    "Do you have an uptime page?",
    "Where do I put the <script> tag?\n\nIn the <head> or at the end of the <body>?",
    "We have 3 domains, do we need 3 projects?",
    "I pasted this text from Word:\u2028it has odd line breaks in it.",
    "Can the assistant book a meeting in our calendar?",
    "my order #10482 has not arrived yet",
    "Great, that worked! 🎉",
    "Which models do you use?",
    "How long is a visitor session valid?",
    "Could you send me the link again?",
)

ANSWERS: tuple[str, ...] = (
    "Absolutely! 🎨 Open **Settings → Appearance** and pick a primary colour.",
    "You can find every invoice under **Billing → Invoices**, as a PDF.",
    "Yes. Human handover is part of the Pro plan and of every plan above it.",
    "Keys that start with `pk_` are public and belong in the browser; a server uses an `sk_` key.",
    "Let us check three things: the project id, the domain list, and the browser’s console.",
    "Yes, through the API: fetch each conversation by its id and store the JSON.",
    "Gerne! Unter **Einstellungen → Sprache** lässt sich die Sprache des Widgets festlegen.",
    "Sí, el cambio se aplica al instante y solo pagas la diferencia.",
    "もちろんです。Free は月100件まで、Pro は無制限です。",
    "نعم، يمكنك ربط واتساب من صفحة التكاملات.",
    "I am sorry to hear that. I have asked the billing team to look at the two charges.",
    "It does. There is a package for React, and a plain script for everything else.",
    "It means that the key belongs to another project than the conversation.",
    "You are welcome! Is there anything else that I can help you with?",
    "Of course: a visitor session lasts 24 hours and is renewed while the page is open.",
    "Refunds are possible within 14 days; write to billing and name the invoice.",
    "I have let a colleague know. Someone will join this conversation in a few minutes 🙋",
    "The crawler indexes up to 5,000 pages on Pro and 500 on Free.",
    "Upload the PDF under **Knowledge → Files**; it is searchable after a minute or two.",
    "Glad to help 😊",
    "Open the visitor, choose **Delete data**, and confirm. It cannot be undone.",
    "The assistant follows the language of the last message, unless a language is fixed.",
    "Yes, the status page lists the uptime of the last 90 days.",
    (
        'Put it right before `</body>`:\n\n```html\n<script src="https://example.com/w.js" async>'
        "</script>\n```"
    ),
    "One project is enough: add all three domains to its list.",
    "I could not find anything about that in the documentation, sorry.",
    "A calendar can be connected with a tool; the guide below shows each step.",
    "Order 10482 left the warehouse yesterday and should arrive within two days 📦",
    "Happy to hear that! 🎉",
    "That depends on the plan; the pricing page has the current list.",
    "As a table:\n\n| plan | conversations |\n|---|---|\n| Free | 100 |\n| Pro | ∞ |",
    "Here it is again: https://example.com/docs/getting-started?lang=en&from=chat",
)

DETAILS: tuple[str, ...] = (
    "",
    "",
    " The change is live at once, no deploy is needed.",
    " If it still does not work, please tell me the browser and its version.",
    "\n\n1. Open the dashboard.\n2. Choose the project.\n3. Save.",
    " You need the role *Admin* for that; your project’s owner can grant it.",
    " More about it is in the documentation, which I have linked below.",
    " By the way, the same works from the mobile app 📱.",
    (
        " Let me know if you would like me to walk you through it step by step. Most teams need"
        " about five minutes for it, and nothing is shown to visitors until you publish."
    ),
    (
        " Please note that this takes up to ten minutes to reach all regions. Until then some"
        " visitors may still see the old version; reloading the page without the cache helps."
    ),
    " Shall I open a ticket for you?",
    " \U0001f469\u200d\U0001f4bb Our developers’ guide has an example in TypeScript and Python.",
    "\n\n- It is free on every plan.\n- It can be undone.\n- It leaves a trace in the audit log.",
    " This was improved in the last release, so an old tab may need a reload first.",
    " (na\u0131\u0308ve caches of a proxy are the usual reason when it does not.)",
    " I have checked your settings, and everything looks right on our side.",
)

AGENT_LINES: tuple[str, ...] = (
    "Hello, this is a real person 🙂 Let me read through the conversation.",
    "I have refunded the second charge, it takes 3 to 5 days to show up.",
    "Could you send me the address of the page where it happens?",
    "Done! Please reload and try again.",
    "I will ask our engineers and come back to you by e-mail.",
    "That is a bug on our side, sorry about that. A fix goes out this afternoon.",
    "Is there anything else?",
    "Have a nice day! ☀️",
)

AGENTS: tuple[tuple[str | None, str | None], ...] = (
    ("Ana Souza", "https://example.com/avatars/ana.png"),
    ("Jürgen Weiß", None),
    ("李雷", "https://example.com/avatars/lilei.png"),
    (None, None),
)

PAGES: tuple[tuple[str, str | None], ...] = (
    ("https://example.com/", "Example – Home"),
    ("https://example.com/pricing?utm_source=ads", "Pricing"),
    ("https://example.com/docs/widget#colours", "Docs › Widget › Colours"),
    ("https://example.com/ja/%E6%96%99%E9%87%91", "料金"),
    ("https://shop.example.com/cart", "Your cart (2)"),
    ("https://example.com/blog/what-is-new", None),
    ("https://example.com/contact", "Contact"),
    ("https://example.com/login", "Log in"),
)

SOURCES: tuple[tuple[str, str], ...] = (
    ("https://example.com/docs/widget", "Widget"),
    ("https://example.com/docs/api/keys", "API keys"),
    ("https://example.com/docs/billing", "Billing & invoices"),
    ("https://example.com/docs/handover", "Human handover"),
)

CLOSE_REASONS: tuple[str | None, ...] = (
    "resolved",
    "Closed after 24 hours without an answer",
    None,
    "Visitor left 👋",
)

TITLES: tuple[str | None, ...] = (
    "Widget colours",
    "Billing question",
    None,
    "Hilfe bei der Einrichtung",
    "エラーについて",
    "Order 10482",
    'About "Access denied"',
    "Plans & limits",
)
