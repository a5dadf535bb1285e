"""Proxies: pools of exits and the sessions accounts go out through."""

from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts import triggers
from accounts.choices import (
    ProxyScheme,
    ProxyStatus,
    RotationPolicy,
)
from accounts.domain import proxy as rules
from accounts.querysets import SessionQuerySet
from controlplane.base import audit
from controlplane.base.fields import (
    EnumField,
    SecretField,
    SlugKey,
    TextLine,
    UUIDKey,
    one_of,
)
from controlplane.base.models import SecretHolder, Timestamped
from controlplane.kernel.secrets import Secret
from markets.models import Venue

PROXY_SECRETS = ("auth",)


@audit.track()
class ProxyProfile(Timestamped):
    """A pool of proxies and how accounts move between its sessions."""

    profile_id = SlugKey(_("proxy profile"))
    name = TextLine(_("name"))
    pool = TextLine(_("pool"), blank=True, help_text=_("What the provider calls this pool."))
    scheme = EnumField(ProxyScheme, verbose_name=_("scheme"), default=ProxyScheme.HTTP)
    rotation_policy = EnumField(
        RotationPolicy, verbose_name=_("rotation"), default=RotationPolicy.ON_FAILURE
    )
    rotation_minutes = models.PositiveIntegerField(
        _("rotate every, minutes"), null=True, blank=True
    )
    venues = models.ManyToManyField(
        Venue,
        blank=True,
        related_name="proxy_profiles",
        verbose_name=_("allowed venues"),
        help_text=_("None chosen: every venue."),
    )

    class Meta:
        verbose_name = _("proxy profile")
        verbose_name_plural = _("proxy profiles")
        ordering = ("profile_id",)
        constraints = (
            one_of("proxyprofile", "scheme", ProxyScheme),
            one_of("proxyprofile", "rotation_policy", RotationPolicy),
            models.CheckConstraint(
                name="proxyprofile_interval_has_minutes",
                condition=~Q(rotation_policy=str(RotationPolicy.INTERVAL))
                | Q(rotation_minutes__isnull=False, rotation_minutes__gt=0),
                violation_error_code="rotation_minutes:missing",
                violation_error_message=_("rotation_minutes must be above zero for this policy."),
            ),
        )

    def __str__(self) -> str:
        return self.profile_id

    def allows(self, venue_id: str) -> bool:
        """Tell whether accounts of this venue may use the profile; an empty list allows all."""
        allowed = set(self.venues.values_list("pk", flat=True))
        return not allowed or venue_id in allowed


ADDRESS_ALONE: Final = _(
    "Enter the IP address alone, such as 203.0.113.7: the port and the credentials "
    "(user:password) have fields of their own, and the scheme is the profile's."
)


@audit.track(exclude=(*PROXY_SECRETS, "last_rotation", "checked_at", "last_error"))
class ProxySession(SecretHolder, Timestamped):
    """One exit: an address and the credentials for it.

    `is_held` says that a person took it out of use: no check by itself brings it back.
    """

    session_id = UUIDKey()
    proxy_profile = models.ForeignKey(
        ProxyProfile, models.PROTECT, related_name="sessions", verbose_name=_("proxy profile")
    )
    ip = models.GenericIPAddressField(_("address"), error_messages={"invalid": ADDRESS_ALONE})
    port = models.PositiveIntegerField(
        _("port"), validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    auth = SecretField(_("credentials"), help_text=_("user:password"))
    last_rotation = models.DateTimeField(_("last rotation"), null=True, blank=True)
    status = EnumField(ProxyStatus, verbose_name=_("status"), default=ProxyStatus.ACTIVE)
    is_held = models.BooleanField(_("taken out by a person"), default=False, editable=False)
    checked_at = models.DateTimeField(_("checked at"), null=True, blank=True, editable=False)
    last_error = models.TextField(_("last error"), blank=True, editable=False)

    secret_fields = PROXY_SECRETS
    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("proxy session")
        verbose_name_plural = _("proxy sessions")
        ordering = ("session_id",)
        permissions = (
            ("rotate_proxysession", "Can move the accounts of a proxy session"),
            ("fail_proxysession", "Can take a proxy session out of use"),
            ("check_proxysession", "Can have a proxy session checked"),
        )
        triggers = (triggers.legal_proxy_moves(),)
        constraints = (
            models.UniqueConstraint(
                fields=("proxy_profile", "ip", "port"), name="proxysession_unique_exit"
            ),
            one_of("proxysession", "status", ProxyStatus),
            models.CheckConstraint(
                name="proxysession_port_range",
                condition=Q(port__gte=1, port__lte=65535),
                violation_error_code="port:range",
                violation_error_message=_("port must be between 1 and 65535."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"

    def clean(self) -> None:
        super().clean()
        problems = {"auth": self._auth_problem()}
        if rules.is_address(self.ip):  # else the field has said so
            problems["ip"] = self.address_problem()
        if found := {name: text for name, text in problems.items() if text is not None}:
            raise ValidationError(
                {name: ValidationError(text, code="proxy") for name, text in found.items()}
            )

    def address_problem(self) -> str | None:
        """Return why nothing may go out this way, or None."""
        return rules.address_problem(self.ip, allow_private=settings.ALLOW_PRIVATE_PROXIES)

    def url(self) -> Secret:
        """Return the proxy address with its credentials."""
        scheme = ProxyScheme(self.proxy_profile.scheme)
        return Secret(rules.proxy_url(scheme, self.ip, self.port, self.auth.reveal()))

    def _auth_problem(self) -> str | None:
        auth = self.auth
        return rules.auth_problem(auth.reveal() if isinstance(auth, Secret) else auth)


@audit.track()
class AllowedVenue(ProxyProfile.venues.through):  # type: ignore[name-defined]
    """One venue a profile may be used for; here so that the audit sees the list change."""

    class Meta:
        proxy = True
        verbose_name = _("allowed venue")
        verbose_name_plural = _("allowed venues")
