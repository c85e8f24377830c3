# Giving up rights, where Python has no call for it. Included by native.pyx.

cdef extern from "sys/prctl.h" nogil:
    int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
    int PR_SET_NO_NEW_PRIVS


def forbid_new_privileges():
    """Let no program that this process starts gain rights (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
