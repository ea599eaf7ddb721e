# Attributes of slotted objects by where they lie, for the modules that include it (`binary`, `screening`).
#
# Python's own way to one, by its name's descriptor in the class, costs as much as what is done with the value.

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from types import MemberDescriptorType

#: Attributes that `Slots` may have.
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
    """Where an attribute lies in the objects of a class; -1 where it has no slot there."""
    descriptor = getattr(cls, name, None)
    return evometrics_place(descriptor) if type(descriptor) is MemberDescriptorType else -1


cdef inline PyObject** slot_at(event, Py_ssize_t place) noexcept:
    return <PyObject**>(<char*><PyObject*>event + place)


cdef inline object get_slot(event, Py_ssize_t place, str name):
    """The attribute of an object of the class that the place was found in, or of one derived from it."""
    if place >= 0 and slot_at(event, place)[0] != NULL:
        return <object>slot_at(event, place)[0]
    return getattr(event, name)


cdef inline int set_slot(event, Py_ssize_t place, str name, value) except -1:
    """Set the attribute of an object that has just been made, and of just that class."""
    if place >= 0 and slot_at(event, place)[0] == NULL:
        Py_INCREF(value)
        slot_at(event, place)[0] = <PyObject*>value
    else:
        setattr(event, name, value)
    return 0


cdef class Slots:
    """Some attributes of a class's objects, to be asked for by number.

    The objects may be of a class derived from it.
    """

    cdef tuple names
    cdef Py_ssize_t places[MOST_SLOTS]

    def __init__(self, cls, str names):
        self.names = tuple(names.split())
        for i, name in enumerate(self.names):
            self.places[i] = place_of(cls, name)

    cdef inline object get(self, event, int number):
        return get_slot(event, self.places[number], <str>self.names[number])
