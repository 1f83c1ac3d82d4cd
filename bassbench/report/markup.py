"""HTML from plain values: what is not markup already is escaped, so that no name can become a tag."""

import html


class Markup(str):
    """Text that is HTML already; everything else is escaped on its way into an element."""

    __slots__ = ()


_VOID = ("br", "img", "link", "meta")


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """One element; children that are not `Markup` are escaped, None is left out.

    An attribute's name loses a trailing underscore and its inner ones become hyphens (`class_`, `aria_label`); True
    gives the bare name, False or None leaves it out.
    """
    opened = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{opened}>")
    return Markup(f"<{tag}{opened}>{joined(*children)}</{tag}>")


def joined(*children: object) -> Markup:
    """Children one after the other, escaped unless they are `Markup`; None is left out."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def _escaped(child: object) -> str:
    return child if isinstance(child, Markup) else html.escape(str(child))


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
