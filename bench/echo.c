/* The ceiling: sends every UDP packet back as a response, in batches, and thinks of nothing.
 * echo PORT */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 1500 };

int main(int argc, char **argv) {
    static unsigned char packets[BATCH][SIZE];
    static struct sockaddr_in peers[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    struct sockaddr_in here = {.sin_family = AF_INET};
    int sock = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    if (argc != 2) return 2;
    here.sin_port = htons(atoi(argv[1]));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(sock, (struct sockaddr *)&here, sizeof here)) { perror("bind"); return 1; }
    for (;;) {
        for (int at = 0; at < BATCH; at++) {
            parts[at] = (struct iovec){packets[at], SIZE};
            messages[at].msg_hdr = (struct msghdr){
                .msg_name = &peers[at], .msg_namelen = sizeof peers[at],
                .msg_iov = &parts[at], .msg_iovlen = 1};
        }
        int got = recvmmsg(sock, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int at = 0; at < got; at++) {
            if (messages[at].msg_len > 2) packets[at][2] |= 0x80;
            parts[at].iov_len = messages[at].msg_len;
        }
        for (int sent = 0; sent < got;) {
            int more = sendmmsg(sock, messages + sent, got - sent, 0);
            sent += more > 0 ? more : 1;
        }
    }
}
