/* A load whose clients have many addresses, and a sampler of latency.
 *
 * probe PORT FILE RATE FLIGHT SECONDS
 *
 * FILE holds records: client address (4 octets), length (2 octets, machine's order), packet.
 * RATE > 0: sends RATE packets a second whatever comes back, so that a stall is seen.
 * RATE = 0: keeps FLIGHT packets under way. SECONDS = 0: until SIGTERM or SIGINT.
 * Prints one JSON line: sent, received, lost (no reply within a second of the end), blocked
 * (NXDOMAIN), seconds, and latencies in microseconds: p50, p99, worst, worst_at (seconds since
 * the start); late: how late this program itself was at worst in sending. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { SOCKETS = 8, BATCH = 32, SIZE = 1500, IDS = 65536, BINS = 1 << 21 };

static int socks[SOCKETS];
static double sent_at[SOCKETS][IDS]; /* 0: nothing under way */
static uint32_t bins[BINS];          /* latencies, one bin a microsecond */
static volatile sig_atomic_t stopped;
static double begun, worst, worst_at;
static long received, blocked;

static void stop(int number) { (void)number; stopped = 1; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int receive(void) {
    static unsigned char packets[BATCH][SIZE];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    int total = 0;
    for (int which = 0; which < SOCKETS; which++) {
        for (;;) {
            memset(messages, 0, sizeof messages);
            for (int at = 0; at < BATCH; at++) {
                parts[at] = (struct iovec){packets[at], SIZE};
                messages[at].msg_hdr.msg_iov = &parts[at];
                messages[at].msg_hdr.msg_iovlen = 1;
            }
            int got = recvmmsg(socks[which], messages, BATCH, MSG_DONTWAIT, NULL);
            if (got <= 0) break;
            double t = now();
            for (int at = 0; at < got; at++) {
                if (messages[at].msg_len < 12) continue;
                double *slot = &sent_at[which][packets[at][0] << 8 | packets[at][1]];
                if (*slot == 0) continue;
                double took = t - *slot;
                long bin = took * 1e6;
                bins[bin < BINS ? bin : BINS - 1]++;
                if (took > worst) { worst = took; worst_at = *slot - begun; }
                *slot = 0;
                received++;
                if ((packets[at][3] & 15) == 3) blocked++;
            }
            total += got;
            if (got < BATCH) break;
        }
    }
    return total;
}

static long percentile(double part) {
    double seen = 0;
    for (long bin = 0; bin < BINS; bin++)
        if ((seen += bins[bin]) >= part * received) return bin;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    double rate = atof(argv[3]), seconds = atof(argv[5]), late = 0, moved;
    long flight = atol(argv[4]), sent = 0;
    FILE *file = fopen(argv[2], "rb");
    if (!file) { perror(argv[2]); return 1; }
    fseek(file, 0, SEEK_END);
    long size = ftell(file), at = 0, given_up = 0;
    rewind(file);
    unsigned char *data = malloc(size);
    if (!data || fread(data, 1, size, file) != (size_t)size) return 1;
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct pollfd polled[SOCKETS];
    for (int which = 0; which < SOCKETS; which++) {
        int buffer = 4 << 20;
        struct sockaddr_in here = {.sin_family = AF_INET};
        socks[which] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(socks[which], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        if (bind(socks[which], (struct sockaddr *)&here, sizeof here)) return 1;
        polled[which] = (struct pollfd){socks[which], POLLIN, 0};
    }
    prctl(PR_SET_TIMERSLACK, 1000UL);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    begun = moved = now();
    for (;;) {
        double t = now();
        if (stopped || (seconds > 0 && t - begun >= seconds)) break;
        long due;
        if (rate > 0) {
            due = (long)((t - begun) * rate) + 1 - sent;
            double behind = (t - begun) - sent / rate;
            if (behind > late) late = behind;
        } else {
            if (t - moved > 0.3) { given_up = sent - received; moved = t; }
            due = flight - (sent - received - given_up);
        }
        if (due > BATCH) due = BATCH;
        if (due > 0) {
            int which = (sent / BATCH) % SOCKETS;
            struct iovec parts[BATCH];
            struct mmsghdr messages[BATCH];
            static char controls[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
            memset(messages, 0, sizeof messages);
            static uint16_t next[SOCKETS];
            for (int each = 0; each < due; each++) {
                uint16_t length;
                if (at >= size) at = 0;
                memcpy(&length, data + at + 4, 2);
                unsigned char *packet = data + at + 6;
                uint16_t id = next[which]++;
                packet[0] = id >> 8;
                packet[1] = id & 255;
                parts[each] = (struct iovec){packet, length};
                struct msghdr *head = &messages[each].msg_hdr;
                *head = (struct msghdr){.msg_name = &there, .msg_namelen = sizeof there,
                    .msg_iov = &parts[each], .msg_iovlen = 1, .msg_control = controls[each],
                    .msg_controllen = sizeof controls[each]};
                struct cmsghdr *control = CMSG_FIRSTHDR(head);
                control->cmsg_level = IPPROTO_IP;
                control->cmsg_type = IP_PKTINFO;
                control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
                struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(control);
                memset(info, 0, sizeof *info);
                memcpy(&info->ipi_spec_dst, data + at, 4);
                sent_at[which][id] = t;
                at += 6 + length;
            }
            for (int done = 0; done < due;) {
                int more = sendmmsg(socks[which], messages + done, due - done, 0);
                done += more > 0 ? more : 1;
            }
            sent += due;
        }
        if (receive() > 0) moved = now();
        else if (due <= 0) {
            double until = rate > 0 ? begun + sent / rate - now() : 0.001;
            if (until > 0) {
                struct timespec wait = {0, until < 0.001 ? until * 1e9 : 1000000};
                ppoll(polled, SOCKETS, &wait, NULL);
            }
        }
    }
    double ended = now();
    while (received < sent && now() - ended < 1)
        if (receive() == 0) poll(polled, SOCKETS, 5);
    printf("{\"sent\": %ld, \"received\": %ld, \"lost\": %ld, \"blocked\": %ld, "
           "\"seconds\": %.4f, \"p50\": %ld, \"p99\": %ld, \"worst\": %.0f, "
           "\"worst_at\": %.3f, \"late\": %.0f}\n",
           sent, received, sent - received, blocked, ended - begun, percentile(0.5),
           percentile(0.99), worst * 1e6, worst_at, late * 1e6);
    return 0;
}
