"""How a connector file says where a canonical field comes from. One model per kind of field, so that only sensible options fit."""

from datetime import date
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connectors.values import TIME_FORMATS


def _one_value(value: Any) -> Any:
    if isinstance(value, date):
        raise ValueError("a date as YAML reads it: write it in quotes")  # noqa: TRY004 - pydantic words a ValueError
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("expected one value: text, a number, true, false or null")
    return value


Scalar = Annotated[str | int | float | bool | None, BeforeValidator(_one_value)]
IdFormat = Literal["uuid", "uuid_swapped", "hex"]
Family = Literal["number", "text", "time", "binary", "other"]


class Spec(BaseModel):
    """Base of everything in a connector file: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class FieldSpec(Spec):
    """Where a value comes from: one column or path, or a constant."""

    column: str | None = Field(None, min_length=1, description="column name, or dotted path into a document")
    path: str | None = Field(None, min_length=1, description="another word for `column`, for documents")
    constant: Scalar = Field(None, description="the same value for every row")
    default: Scalar = Field(None, description="used where the row has no value")
    values: dict[Scalar, Scalar] | None = Field(
        None,
        description="translation of what the column holds; a value that is not listed is a fault, unless `default` is set",
    )
    optional: bool = Field(
        False, description="true: a value that cannot be used is left out instead of refusing the row"
    )
    type: Family | None = Field(
        None, description="what the column holds; a column that changes its type stops being trusted"
    )

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if sum(origin is not None for origin in self.list_origins()) != 1:
            raise ValueError(f"give exactly one of {', '.join(self.list_origin_names())}")
        return self

    def list_origins(self) -> tuple[object, ...]:
        """The settings of which exactly one must be given."""
        return (self.column, self.path, self.constant)

    def list_origin_names(self) -> tuple[str, ...]:
        """Their names, for the fault."""
        return ("column", "path", "constant")

    def list_names(self) -> tuple[str, ...]:
        """Columns or paths that the value is read from; empty for a constant."""
        name = self.column or self.path
        return (name,) if name else ()


class _JoinedField(FieldSpec):
    """Several columns may make up the value."""

    columns: list[str] | None = Field(None, min_length=2, description="several columns, joined by a space")

    def list_origins(self) -> tuple[object, ...]:
        return (*super().list_origins(), self.columns)

    def list_origin_names(self) -> tuple[str, ...]:
        return (*super().list_origin_names(), "columns")

    def list_names(self) -> tuple[str, ...]:
        return tuple(self.columns) if self.columns else super().list_names()


class TextField(_JoinedField):
    """Text: identifiers, words, codes."""

    columns: list[str] | None = Field(None, min_length=2, description="several columns, joined by a space (an address)")
    tokenise: bool = Field(False, description="true: a keyed token goes instead of the value")
    format: IdFormat | None = Field(
        None,
        description="for ids that the column holds as bytes: uuid, uuid_swapped (of UUID_TO_BIN(id, 1)) or hex; else they are read as text",
    )


class PlainField(TextField):
    """Text that is never a token: ids that must stay the same forever, codes that rules compare."""

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if self.tokenise:
            raise ValueError(
                "cannot be tokenised: keys rotate, and this value must stay the same; choose another column"
            )
        return self


class PersonalField(TextField):
    """Personal data: a token or nothing."""

    @model_validator(mode="after")
    def _is_token(self) -> Self:
        if not self.tokenise:
            raise ValueError("personal data: write `{column: NAME, tokenise: true}`, so that only a keyed token leaves")
        if self.constant is not None:
            raise ValueError("a constant cannot be personal data; map a column or leave the field out")
        return self


class MoneyField(FieldSpec):
    """An amount."""

    unit: Literal["major", "minor"] = Field("major", description="major: 12.34 euros; minor: 1234 cents")


class NumberField(FieldSpec):
    """A count or a duration in seconds."""


class BooleanField(FieldSpec):
    """True or false; a value translated to null says nothing yet."""


def _known_format(form: str) -> None:
    if "%" not in form and form not in TIME_FORMATS:
        raise ValueError(f"format: one of {', '.join(TIME_FORMATS)}, or a strptime pattern such as %d.%m.%Y %H:%M:%S")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TimeField(_JoinedField):
    """A moment."""

    columns: list[str] | None = Field(
        None, min_length=2, description="several columns, joined by a space (a day and a time of day)"
    )
    time_zone: str = Field("UTC", description="zone of times that carry none, as Europe/Berlin")
    format: Annotated[list[str], BeforeValidator(_listed)] = Field(
        ["iso"],
        min_length=1,
        description=f"{', '.join(TIME_FORMATS)}, or a strptime pattern, for text and numbers; of a list the first that fits",
    )

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        for form in self.format:
            _known_format(form)
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("time_zone: not a zone of the IANA database, such as UTC or Europe/Berlin") from None
        return self


class LabelTimeField(TimeField):
    """When a label became known."""

    after_days: float | None = Field(
        None, ge=0, le=3650, description="this many days after the transaction (own row only)"
    )

    def list_origins(self) -> tuple[object, ...]:
        return (*super().list_origins(), self.after_days)

    def list_origin_names(self) -> tuple[str, ...]:
        return (*super().list_origin_names(), "after_days")


def _short(value: Any) -> Any:
    """`field: name` is short for `field: {column: name}`."""
    return {"column": value} if isinstance(value, str) else value


Text = Annotated[TextField, BeforeValidator(_short)]
Plain = Annotated[PlainField, BeforeValidator(_short)]
Personal = Annotated[PersonalField, BeforeValidator(_short)]
Money = Annotated[MoneyField, BeforeValidator(_short)]
Number = Annotated[NumberField, BeforeValidator(_short)]
Boolean = Annotated[BooleanField, BeforeValidator(_short)]
Time = Annotated[TimeField, BeforeValidator(_short)]
LabelTime = Annotated[LabelTimeField, BeforeValidator(_short)]


class TransactionFields(Spec):
    """Canonical fields of a transaction; only the first four are needed, every other one makes verdicts better."""

    transaction_id: Plain = Field(description="names the transaction forever")
    event_time: Time = Field(description="when the customer acted")
    amount: Money = Field(description="what is paid")
    currency: Plain = Field(description="ISO 4217 code; a column or `{constant: EUR}`")

    customer: Text | None = Field(None, description="customer account")
    card: Personal | None = Field(None, description="card number; tokenised")
    device: Text | None = Field(None, description="device id or fingerprint")
    ip: Personal | None = Field(None, description="network address; tokenised")
    email: Personal | None = Field(None, description="e-mail address; tokenised")
    phone: Personal | None = Field(None, description="phone number; tokenised")
    address: Personal | None = Field(None, description="delivery address; tokenised")
    coupon: Text | None = Field(None, description="coupon or promotion code")
    terminal: Text | None = Field(None, description="till, store or point of sale")
    channel: Plain | None = Field(None, description="web, app, till …")
    payment_method: Plain | None = Field(None, description="card, invoice, wallet …")
    category: Plain | None = Field(None, description="kind of goods")
    country_billing: Plain | None = Field(None, description="ISO 3166 code of two letters")
    country_delivery: Plain | None = Field(None, description="ISO 3166 code of two letters")
    country_ip: Plain | None = Field(None, description="ISO 3166 code of two letters")
    country_card: Plain | None = Field(None, description="country of the card's issuer, two letters")
    customer_since: Time | None = Field(None, description="when the account was opened")
    basket_items: Number | None = Field(None, description="items in the basket")
    discount: Money | None = Field(None, description="taken off by coupons or promotions")
    session_s: Number | None = Field(None, description="seconds from session start to payment")


class LabelFields(Spec):
    """Canonical fields of a label."""

    transaction_id: Plain | None = Field(
        None, description="as in the transactions; not given for a label in the own row"
    )
    fraud: Boolean | None = Field(None, description="true or false; `{constant: true}` for a table of chargebacks")
    source: Plain | None = Field(None, description="chargeback, analyst, customer, step_up or review")
    kind: Plain | None = Field(None, description="kind of fraud")
    label_time: LabelTime | None = Field(
        None, description="when it became known; else when the row was written or read"
    )


class ResolutionFields(Spec):
    """Canonical fields of a resolution."""

    transaction_id: Plain = Field(description="as in the transactions")
    outcome: Plain = Field(description="step_up_passed, step_up_failed, approved or rejected; translate by `values`")
    actor: Text = Field(description="who decided: a user or system name")
    resolved_at: Time | None = Field(None, description="when; else when the row was written or read")
    resolution_id: Plain | None = Field(None, description="names the resolution; else the row's key")
