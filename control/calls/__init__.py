"""Calls: legs, routing, trunks, registrations, webhooks."""
