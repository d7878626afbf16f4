"""Messages to HTTP servers, signed as Standard Webhooks says (standardwebhooks.com)."""
