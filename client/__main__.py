"""`python -m client` is `twc-customers`."""

from client.main import main

if __name__ == "__main__":
    main()
