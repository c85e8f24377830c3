# What is used of the kernel: batches of datagrams, addresses and control messages, and 128-bit
# arithmetic on addresses, which Cython has no type for. Included by native.pyx.

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr* vector, unsigned int count, int flags, void* timeout)
    int sendmmsg(int fd, mmsghdr* vector, unsigned int count, int flags)
    int MSG_DONTWAIT
    int MSG_TRUNC
    int AF_INET
    int AF_INET6

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int timeout)
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    uint32_t EPOLLIN

cdef extern from "sys/socket.h" nogil:
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t send(int fd, const void* data, size_t size, int flags)
    int MSG_NOSIGNAL

cdef extern from "sys/random.h" nogil:
    ssize_t getrandom(void* data, size_t size, unsigned int flags)

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef extern from *:
    """
    #include <stdint.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <string.h>
    #include <sys/socket.h>
    #ifndef IPV6_PKTINFO
    #define IPV6_PKTINFO 50
    #endif

    /* Bounded: every caller passes the length that the kernel gave, and it is checked here. */
    static int gd_peer(const void *name, unsigned len, uint64_t *upper, uint64_t *lower,
                       unsigned *port) {
        const struct sockaddr *sa = (const struct sockaddr *)name;
        if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)name;
            *upper = 0; *lower = ntohl(v4->sin_addr.s_addr); *port = ntohs(v4->sin_port);
            return 4;
        }
        if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)name;
            uint64_t u = 0, l = 0;
            for (int i = 0; i < 8; i++) {
                u = u << 8 | v6->sin6_addr.s6_addr[i];
                l = l << 8 | v6->sin6_addr.s6_addr[i + 8];
            }
            *upper = u; *lower = l; *port = ntohs(v6->sin6_port);
            return 16;
        }
        return 0;
    }
    /* Turn what the kernel said of the destination into what makes the reply leave from there.
       Returns the control length to send with, 0 for none. */
    static size_t gd_from_destination(struct msghdr *message) {
        struct cmsghdr *c = CMSG_FIRSTHDR(message);
        if (c == NULL || (message->msg_flags & MSG_CTRUNC)) return 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO
            && c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            info.ipi_ifindex = 0;
            info.ipi_addr.s_addr = 0;
            memcpy(CMSG_DATA(c), &info, sizeof info);
            return CMSG_SPACE(sizeof info);
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO
            && c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
            memcpy(CMSG_DATA(c), &info, sizeof info);
            return CMSG_SPACE(sizeof info);
        }
        return 0;
    }
    static void gd_control(const struct msghdr *message, int *level, int *type,
                           const unsigned char **data, size_t *len) {
        struct cmsghdr *c = message->msg_controllen ? CMSG_FIRSTHDR(message) : NULL;
        *len = 0;
        if (c == NULL || c->cmsg_len < CMSG_LEN(0)) return;
        *level = c->cmsg_level; *type = c->cmsg_type; *data = CMSG_DATA(c);
        *len = c->cmsg_len - CMSG_LEN(0);
    }
    typedef unsigned __int128 gd_address;
    #define GD_JOIN(upper, lower) ((gd_address)(upper) << 64 | (lower))
    /* Prefix length of the largest block of 2**bits addresses around one that lies in a run. */
    static int gd_uniform(int bits, uint64_t upper, uint64_t lower, uint64_t first_upper,
                          uint64_t first_lower, uint64_t last_upper, uint64_t last_lower) {
        gd_address address = GD_JOIN(upper, lower), first, size;
        gd_address low = GD_JOIN(first_upper, first_lower), high = GD_JOIN(last_upper, last_lower);
        int length = bits;
        while (length > 0) {
            int wide = bits - length + 1;
            if (wide >= 128) return low == 0 && ~high == 0 ? 0 : length;
            size = (gd_address)1 << wide;
            first = address & ~(size - 1);
            if (first < low || first + (size - 1) > high) break;
            length--;
        }
        return length;
    }
    /* Whether a prefix of ``known`` bits reaches beyond the last address of a run. */
    static int gd_spans(int bits, int known, uint64_t upper, uint64_t lower,
                        uint64_t last_upper, uint64_t last_lower) {
        int wide = bits - known;
        gd_address mask = wide >= 128 ? ~(gd_address)0 : ((gd_address)1 << wide) - 1;
        return (GD_JOIN(upper, lower) | mask) > GD_JOIN(last_upper, last_lower);
    }
    static unsigned gd_scope(const void *name) {
        return ((const struct sockaddr_in6 *)name)->sin6_scope_id;
    }
    """
    int gd_peer(const void* name, unsigned length, uint64_t* upper, uint64_t* lower, unsigned* port) nogil
    size_t gd_from_destination(msghdr* message) nogil
    void gd_control(const msghdr* message, int* level, int* type, const unsigned char** data, size_t* length) nogil
    int gd_uniform(int bits, uint64_t upper, uint64_t lower, uint64_t first_upper, uint64_t first_lower, uint64_t last_upper, uint64_t last_lower) nogil
    int gd_spans(int bits, int known, uint64_t upper, uint64_t lower, uint64_t last_upper, uint64_t last_lower) nogil
    unsigned gd_scope(const void* name) nogil
