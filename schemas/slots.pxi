# Access to attributes of slotted objects by position, for modules that include it (`binary`, `screening`).
#
# Python's own access, by the descriptor of the name in the class, costs as much as the work with the value.

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from types import MemberDescriptorType

#: Most attributes of a `Slots`.
DEF MOST_SLOTS = 8

cdef extern from *:
    """
    #include <structmember.h>
    static Py_ssize_t evometrics_place(PyObject* descriptor)
    {
        PyMemberDef* member = ((PyMemberDescrObject*)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    """
    Py_ssize_t evometrics_place(object descriptor)


cdef Py_ssize_t place_of(cls, str name) except -2:
    """Position of an attribute in a class's objects; -1 where the class has no slot for it."""
    descriptor = getattr(cls, name, None)
    return evometrics_place(descriptor) if type(descriptor) is MemberDescriptorType else -1


cdef inline PyObject** slot_at(event, Py_ssize_t place) noexcept:
    return <PyObject**>(<char*><PyObject*>event + place)


cdef inline object get_slot(event, Py_ssize_t place, str name):
    """The attribute of an object of the class that the position was determined for, or of a subclass."""
    if place >= 0 and slot_at(event, place)[0] != NULL:
        return <object>slot_at(event, place)[0]
    return getattr(event, name)


cdef inline int set_slot(event, Py_ssize_t place, str name, value) except -1:
    """Set the attribute of an object that was just created, of exactly that class."""
    if place >= 0 and slot_at(event, place)[0] == NULL:
        Py_INCREF(value)
        slot_at(event, place)[0] = <PyObject*>value
    else:
        setattr(event, name, value)
    return 0


cdef class Slots:
    """Some attributes of a class's objects, accessed by number.

    The objects may be of a subclass.
    """

    cdef tuple names
    cdef Py_ssize_t places[MOST_SLOTS]

    def __init__(self, cls, str names):
        self.names = tuple(names.split())
        for i, name in enumerate(self.names):
            self.places[i] = place_of(cls, name)

    cdef inline object get(self, event, int number):
        return get_slot(event, self.places[number], <str>self.names[number])
