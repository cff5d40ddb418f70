"""The document's sample requests, member by member, with valid values for its placeholders."""

from typing import Any

MEMBERS_OF_SERVER = {
    "id": "string",
    "createdDate": "2022-06-20T06:21:32.358Z",
    "lastModifiedDate": "2022-06-20T06:21:32.358Z",
}

ADDRESS: dict[str, Any] = {
    "address1": "1 Byron Street",
    "address2": "Flat 2",
    "addressName": "Home",
    "city": "London",
    "company": "Analytical Engines",
    "country": "United Kingdom",
    "countryCode": "GB",
    "customerId": "string",
    "defaultAddress": True,
    "email": "deliveries@example.com",
    "firstName": "Ada",
    "id": "string",
    "lastName": "Lovelace",
    "phone": "020 7946 0000",
    "postcode": "W1A 1AA",
    "province": "Greater London",
    "provinceCode": "LND",
}

_GROUP = {
    "attribute_group": "Sizes",
    "attributes": {
        "additionalProp1": {"attribute_value": "42", "value_type": "INTEGER"},
        "additionalProp2": {"attribute_value": "-7", "value_type": "INTEGER"},
        "additionalProp3": {"attribute_value": "0", "value_type": "INTEGER"},
    },
    "is_obsolete": True,
}

CUSTOMER: dict[str, Any] = MEMBERS_OF_SERVER | {
    "accepts_marketing": True,
    "active": True,
    "addresses": [ADDRESS],
    "attributeGroups": {
        "additionalProp1": _GROUP,
        "additionalProp2": _GROUP,
        "additionalProp3": _GROUP,
    },
    "customerRef": "A-1815",
    "customer_state": "disabled",
    "defaultAddress": ADDRESS,
    "dob": "1815-12-10T09:27:37.333Z",
    "email": "ada@example.com",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "marketing_optin_level": "single_opt_in",
    "marketing_preferences_updated_at": "2022-06-20T06:21:32.358Z",
    "mobile": "+44 (0)7700 900123",
    "phone": "020 7946 0958",
    "taxExempt": True,
    "taxExemptions": ["CA_STATUS_CARD_EXEMPTION"],
    "verified_email": True,
}


def stored(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What a sample must come back as: itself, normalised, with what `answer` says is the server's.

    The phones are in E.164 format, and ids and dates are those of the answer.
    """
    address = request["addresses"][0] | {
        "id": answer["addresses"][0]["id"],
        "customerId": answer["id"],
    }
    return (
        request
        | {name: answer[name] for name in MEMBERS_OF_SERVER}
        | {
            "mobile": "+447700900123",
            "phone": "+442079460958",
            "addresses": [address],
            "defaultAddress": address,
        }
    )
