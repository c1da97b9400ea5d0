"""The suite `general`: questions about plain English that come with the package, made from tables of plain facts."""

from holdfast.general.names import items

__all__ = ["items"]
