"""Who may do what over the API: Django's model permissions, reading included."""

from typing import Any

from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request


class ModelPermissions(DjangoModelPermissions):
    """Requires the view permission to read; anonymous requests get nothing.

    A verb names its own permission in the view's `required_permission`, which then stands in
    for the one of the method; seeing the row is required too.
    """

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "OPTIONS": ["%(app_label)s.view_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: Any) -> bool:
        required = getattr(view, "required_permission", None)
        if required is None:
            return bool(super().has_permission(request, view))
        seeing = self.get_required_permissions("GET", self._queryset(view).model)
        return request.user.is_authenticated and request.user.has_perms([required, *seeing])


class ViewPermission(BasePermission):
    """Requires the permission the view's class names, for lists that are no table of their own.

    A verb's own permission is required besides.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        required = {type(view).required_permission, view.required_permission}
        return request.user.is_authenticated and request.user.has_perms(required)
