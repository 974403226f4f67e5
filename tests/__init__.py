"""The proof: references, cases, and files that mirror the package."""
