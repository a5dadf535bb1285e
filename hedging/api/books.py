"""Books over the API: computed from allocations and positions, never stored."""

from typing import Any, Final

from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base.api.fields import NumberField
from controlplane.base.api.filtersets import refuse_parameters
from controlplane.base.api.viewsets import actor_of, asked_reason, verb
from controlplane.base.permissions import ViewPermission
from hedging import selectors
from hedging.api.serializers import HedgeExecutionSerializer
from hedging.choices import TriggerReason
from hedging.selectors import BookState
from hedging.services import book_evaluate

BOOK_KEY: Final = "(?:live|sandbox):[a-z0-9-]{1,64}"


class AssetDeltaSerializer(serializers.Serializer):
    """A book's net position in one asset; null where it is not known."""

    symbol = serializers.CharField(help_text=_("The base asset, such as BTC."))
    deltaBase = NumberField(
        source="delta_base", allow_null=True, help_text=_("Base asset, long positive.")
    )
    deltaBtc = NumberField(
        source="delta_btc", allow_null=True, help_text=_("BTC-equivalent, long positive.")
    )


class BookSerializer(serializers.Serializer):
    """A hedge book as it is now."""

    key = serializers.CharField(help_text=_("live: or sandbox:, then the book's first account."))
    sandbox = serializers.BooleanField(help_text=_("Simulated positions only."))
    accountIds = serializers.ListField(
        source="account_ids", child=serializers.CharField(), help_text=_("Its accounts.")
    )
    moduleIds = serializers.ListField(
        source="module_ids", child=serializers.CharField(), help_text=_("Its enabled modules.")
    )
    thresholdBtc = NumberField(source="threshold_btc", help_text=_("BTC-equivalent."))
    netDeltaBtc = NumberField(
        source="net_delta_btc",
        allow_null=True,
        help_text=_("The asset delta farthest from zero, BTC-equivalent; null when unknown."),
    )
    assets = AssetDeltaSerializer(many=True, help_text=_("Delta by asset."))
    state = serializers.ChoiceField(
        choices=[str(state) for state in BookState],
        help_text=_("unknown: a position or a price is missing."),
    )
    reason = serializers.CharField(help_text=_("Why the book is in this state."))


class BookHedgeSerializer(serializers.Serializer):
    """What came of asking for a hedge; `execution` is null when nothing was done."""

    execution = HedgeExecutionSerializer(allow_null=True, help_text=_("The hedge begun."))
    book = BookSerializer(help_text=_("The book afterwards; its reason says why not."))


class BookPageSerializer(serializers.Serializer):
    """All books on one page."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = BookSerializer(many=True)


class BookViewSet(viewsets.ViewSet):
    """Books with their net delta against their threshold."""

    permission_classes = (ViewPermission,)
    required_permission = "hedging.view_hedgeexecution"
    lookup_field = "key"
    lookup_value_regex = BOOK_KEY
    pagination_class = None

    @extend_schema(operation_id="books_list", responses=BookPageSerializer)
    def list(self, request: Request) -> Response:
        """Return every book."""
        refuse_parameters(request)
        found = BookSerializer(selectors.books(now=timezone.now()), many=True).data
        return Response({"next": None, "previous": None, "results": found})

    @extend_schema(operation_id="books_retrieve", responses=BookSerializer)
    def retrieve(self, request: Request, key: str) -> Response:
        """Return one book."""
        return Response(self.shown(key))

    @verb("hedging.hedge_book", BookHedgeSerializer)
    def hedge(self, request: Request, key: str) -> Response:
        """Look at this book now and hedge it when it is out of its threshold."""
        reason = asked_reason(request)
        self.shown(key)
        execution = book_evaluate(
            key=key, trigger_reason=TriggerReason.MANUAL, actor=actor_of(request), reason=reason
        )
        begun = None if execution is None else HedgeExecutionSerializer(execution).data
        return Response({"execution": begun, "book": self.shown(key)})

    def shown(self, key: str) -> Any:
        """Return a book as JSON; raises Http404 when no accounts make it any more."""
        book = selectors.book(key, now=timezone.now())
        if book is None:
            raise Http404
        return BookSerializer(book).data
