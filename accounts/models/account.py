"""Accounts at venues, and what they may risk."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.choices import AccountStatus
from accounts.domain.risk import RiskLimits
from accounts.models.egress import ProxyProfile, ProxySession
from accounts.models.state import AccountState
from accounts.models.stoploss import StopLossConfig
from accounts.querysets import ACCOUNT_SECRETS, AccountQuerySet
from controlplane.base import audit
from controlplane.base.fields import (
    EnumField,
    MoneyField,
    PercentField,
    RatioField,
    SecretField,
    SizeField,
    SlugKey,
    TextLine,
    UUIDKey,
    one_of,
    positive,
)
from controlplane.base.models import SecretHolder, Timestamped, secret_mark
from controlplane.kernel.secrets import Secret
from markets.models import Venue
from markets.venues.registry import GENERIC, credential_problem, required_credentials
from markets.venues.types import Credentials

# The credential that names an account at its venue; Aster and Pacifica know wallets.
IDENTITIES = {"binance": "api_key", "aster": "public_key", "pacifica": "public_key"}


@audit.track(exclude=ACCOUNT_SECRETS)
class ExchangeAccount(SecretHolder, Timestamped):
    """One account at one venue, with its target band and its keys.

    Which credentials a venue needs: Binance apiKey and apiSecret; Aster publicKey (login wallet)
    and agentKey (signer's key); Pacifica publicKey (main wallet), agentKey, and an optional
    apiKey that only raises the rate limit. For ccxt venues `password` is the passphrase,
    `walletAddress` the publicKey and `privateKey` the agentKey.
    """

    account_id = SlugKey(_("account"))
    exchange = models.ForeignKey(
        Venue,
        models.PROTECT,
        related_name="accounts",
        verbose_name=_("exchange"),
        db_column="exchange",
    )
    account_name = TextLine(_("account name"))
    public_key = SecretField(_("public key"))
    api_key = SecretField(_("API key"))
    api_secret = SecretField(_("API secret"))
    passphrase = SecretField(_("passphrase"))
    agent_key = SecretField(_("agent key"))
    proxy_profile = models.ForeignKey(
        ProxyProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="accounts",
        verbose_name=_("proxy profile"),
    )
    proxy_session = models.ForeignKey(
        ProxySession,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="accounts",
        verbose_name=_("proxy session"),
        editable=False,
    )
    utilization_target_min = RatioField(_("utilization from"), default="0.5")
    utilization_target_max = RatioField(_("utilization to"), default="0.8")
    delta_threshold = SizeField(_("delta threshold, BTC"), default="0.0005")
    max_position_value = MoneyField(_("largest position value, USD"))
    stop_loss_config = models.ForeignKey(
        StopLossConfig,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="accounts",
        verbose_name=_("stop-loss config"),
    )
    status = EnumField(AccountStatus, verbose_name=_("status"), default=AccountStatus.ACTIVE)
    sync_interval_seconds = models.PositiveIntegerField(
        _("sync every, s"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(86_400)],
    )

    secret_fields = ACCOUNT_SECRETS
    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("exchange account")
        verbose_name_plural = _("exchange accounts")
        ordering = ("account_id",)
        permissions = (
            ("sync_exchangeaccount", "Can sync an account now"),
            ("pause_exchangeaccount", "Can pause an account"),
            ("resume_exchangeaccount", "Can resume an account"),
            ("reroute_exchangeaccount", "Can move an account to another proxy session"),
        )
        constraints = (
            one_of("account", "status", AccountStatus),
            *positive("account", "delta_threshold", "max_position_value", "sync_interval_seconds"),
            *positive("account", "utilization_target_min", "utilization_target_max"),
            models.CheckConstraint(
                name="account_band_ordered",
                condition=Q(utilization_target_min__lt=F("utilization_target_max"))
                & Q(utilization_target_max__lte=1),
                violation_error_code="utilization_target_min:band_inverted",
                violation_error_message=_(
                    "utilization_target_min must be below utilization_target_max, which is at "
                    "most 1."
                ),
            ),
        )

    def __str__(self) -> str:
        return self.account_id

    def clean(self) -> None:
        super().clean()
        self._check_profile()
        self._check_credentials()
        self._check_identity()

    def _check_profile(self) -> None:
        profile = self.proxy_profile
        if self.exchange_id and profile is not None and not profile.allows(self.exchange_id):
            raise ValidationError(
                {
                    "proxy_profile": ValidationError(
                        _("%(profile)s may not be used for %(venue)s."),
                        code="venue_not_allowed",
                        params={"profile": self.proxy_profile_id, "venue": self.exchange_id},
                    )
                }
            )

    def _check_credentials(self) -> None:
        """Refuse what can be no key of the venue's, and an account without the keys it needs."""
        if not self.exchange_id:
            return
        dialect, endpoint = self.exchange.dialect, self.exchange.endpoint()
        problems = {}
        for name in ACCOUNT_SECRETS:
            given: Secret | str = getattr(self, name)
            text = given.reveal() if isinstance(given, Secret) else given
            if text and (problem := credential_problem(dialect, endpoint, name, text)):
                problems[name] = ValidationError(
                    _("This text %(problem)s."),
                    code="bad_credential",
                    params={"problem": problem},
                )
        for name in required_credentials(dialect, endpoint):
            if not getattr(self, name):
                problems[name] = ValidationError(
                    _("%(venue)s cannot be used without it."),
                    code="missing_credential",
                    params={"venue": self.exchange_id},
                )
        if problems:
            raise ValidationError(problems)

    def _check_identity(self) -> None:
        """Refuse a second row for one account of a venue: its positions would count twice."""
        if not self.exchange_id:
            return
        dialect, endpoint = self.exchange.dialect, self.exchange.endpoint()
        name = IDENTITIES.get(dialect, "api_key")
        if dialect == GENERIC and "public_key" in required_credentials(dialect, endpoint):
            name = "public_key"
        mark = secret_mark(name, getattr(self, name))
        if mark is None:
            return
        same = ExchangeAccount.objects.filter(
            exchange=self.exchange_id, secrets_fingerprint__contains=mark
        )
        if (twin := same.exclude(pk=self.pk).values_list("pk", flat=True).first()) is not None:
            raise ValidationError(
                {
                    name: ValidationError(
                        _("%(account)s already has this key; one account is one row."),
                        code="account_known",
                        params={"account": twin},
                    )
                }
            )

    def save(self, *args: object, **kwargs: object) -> None:
        """Save the row; a new account gets its risk envelope and its (unknown) state with it."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            RiskEnvelope.objects.get_or_create(account=self)
            AccountState.objects.get_or_create(account=self)

    def credentials(self) -> Credentials:
        """Return the keys, for the one place that signs."""
        return Credentials(
            public_key=self.public_key,
            api_key=self.api_key,
            api_secret=self.api_secret,
            passphrase=self.passphrase,
            agent_key=self.agent_key,
        )


@audit.track()
class RiskEnvelope(Timestamped):
    """The limits of one account; made with it."""

    envelope_id = UUIDKey()
    account = models.OneToOneField(
        ExchangeAccount, models.CASCADE, related_name="risk_envelope", verbose_name=_("account")
    )
    max_drawdown_percent = PercentField(_("largest drawdown, %"), default=10)
    max_leverage = RatioField(_("largest leverage"), default=5)
    delta_threshold = SizeField(
        _("delta threshold, BTC"), null=True, blank=True, help_text=_("Empty: the account's own.")
    )
    slippage_tolerance = PercentField(_("slippage tolerance, %"), default="0.5")
    emergency_stop_loss_seconds = models.PositiveIntegerField(
        _("emergency stop within, s"), default=30
    )

    class Meta:
        verbose_name = _("risk envelope")
        verbose_name_plural = _("risk envelopes")
        ordering = ("account_id",)
        constraints = (
            *positive("envelope", "max_drawdown_percent", "max_leverage", "delta_threshold"),
            *positive("envelope", "slippage_tolerance", "emergency_stop_loss_seconds"),
            models.CheckConstraint(
                name="envelope_drawdown_range",
                condition=Q(max_drawdown_percent__lte=100),
                violation_error_code="max_drawdown_percent:range",
                violation_error_message=_("max_drawdown_percent must be at most 100."),
            ),
            models.CheckConstraint(
                name="envelope_slippage_range",
                condition=Q(slippage_tolerance__lte=20),
                violation_error_code="slippage_tolerance:range",
                violation_error_message=_("slippage_tolerance must be at most 20 per cent."),
            ),
            models.CheckConstraint(
                name="envelope_leverage_range",
                condition=Q(max_leverage__lte=200),
                violation_error_code="max_leverage:range",
                violation_error_message=_("max_leverage must be at most 200."),
            ),
            models.CheckConstraint(
                name="envelope_stop_range",
                condition=Q(emergency_stop_loss_seconds__lte=3600),
                violation_error_code="emergency_stop_loss_seconds:range",
                violation_error_message=_("emergency_stop_loss_seconds must be at most 3600."),
            ),
        )

    def __str__(self) -> str:
        return self.account_id

    def unique_error_message(
        self, model_class: type[models.Model], unique_check: Sequence[str]
    ) -> ValidationError:
        if tuple(unique_check) == ("account",):
            return ValidationError(_("One envelope per account."), code="unique")
        return super().unique_error_message(model_class, unique_check)

    def limits(self) -> RiskLimits:
        """Return the envelope as the value the risk rules work on."""
        return RiskLimits(
            max_position_value=self.account.max_position_value,
            max_leverage=self.max_leverage,
            max_drawdown_percent=self.max_drawdown_percent,
            slippage_tolerance_percent=self.slippage_tolerance,
            delta_threshold=(
                self.account.delta_threshold
                if self.delta_threshold is None
                else self.delta_threshold
            ),
        )
