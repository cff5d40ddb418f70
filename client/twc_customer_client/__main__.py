"""`python -m twc_customer_client` is `twc-customers`."""

from twc_customer_client.main import main

if __name__ == "__main__":
    main()
