"""Runs `twc-customers` as `python -m twc_customer_client`."""

from twc_customer_client.cli import main

if __name__ == "__main__":
    main()
