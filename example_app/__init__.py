"""A shared reading list: people save links and tag them; an admin may remove any."""

import os

# The library's tables and migrations look here, so it must be said before they are used.
os.environ.setdefault("PICCOLO_AUTH_USER_TABLE", "example_app.tables:User")
os.environ.setdefault("PICCOLO_CONF", "example_app.piccolo_conf")
# Browsers keep no Secure cookie from plain http, and this runs on http://127.0.0.1. Behind https: true.
os.environ.setdefault("PICCOLO_AUTH_SECURE_COOKIES", "false")
# Links in mails lead here. They can only be received where there is a mail server, so only then must they be used.
os.environ.setdefault(
    "PICCOLO_AUTH_PUBLIC_ORIGIN", f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
)
os.environ.setdefault("PICCOLO_AUTH_MAGIC_LINKS", "true")
if os.environ.get("SMTP_HOST"):
    os.environ.setdefault("PICCOLO_AUTH_EMAIL_VERIFICATION", "required")
