/* Emulates a long path between two network namespaces: delay, queue and loss. The kernel runs TCP at both ends.
 *
 * wan NETNS_A NETNS_B DEVICE BITS_PER_SECOND DELAY_US QUEUE_BYTES LOSS_PPM
 *
 * Opens a TUN device in each namespace. Each direction has a drop-tail queue, a bottleneck of that rate, and a one-way
 * delay. Loss is independent for each packet, and only from A to B, the direction of the data. Prints "ready" when the
 * devices exist, and its counters when a signal ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* More than the 20 MB in flight and queued at 1 Gbit/s and 80 ms. */
#define RING_BYTES (64u << 20)
#define PACKET_BYTES 65536
#define BATCH 64

struct packet {
    int64_t due;
    uint32_t length;
};

struct direction {
    char *ring;
    uint64_t head, tail;
    int64_t free_at;
    uint64_t passed, overflowed, lost;
};

static volatile sig_atomic_t stopping;
static double bits_per_ns;
static int64_t delay_ns, queue_bytes;
static uint64_t random_state = 88172645463325252u;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Marsaglia's xorshift64: random enough for packet loss. */
static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int tun(const char *netns, const char *device) {
    int space = open(netns, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) < 0) die(netns);
    close(space);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request) < 0) die("TUNSETIFF");
    return fd;
}

static void copy_in(struct direction *d, uint64_t at, const void *from, size_t length) {
    size_t offset = at % RING_BYTES, first = RING_BYTES - offset < length ? RING_BYTES - offset : length;
    memcpy(d->ring + offset, from, first);
    memcpy(d->ring, (const char *)from + first, length - first);
}

static void copy_out(struct direction *d, uint64_t at, void *to, size_t length) {
    size_t offset = at % RING_BYTES, first = RING_BYTES - offset < length ? RING_BYTES - offset : length;
    memcpy(to, d->ring + offset, first);
    memcpy((char *)to + first, d->ring, length - first);
}

static void take(struct direction *d, int fd, uint64_t loss_ppm) {
    static char buffer[PACKET_BYTES];
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length <= 0) return;
        if (loss_ppm && random_bits() % 1000000 < loss_ppm) {
            d->lost++;
            continue;
        }
        int64_t now = now_ns(), begin = d->free_at > now ? d->free_at : now;
        double waiting_bytes = (begin - now) * bits_per_ns / 8;
        struct packet packet = {.length = (uint32_t)length};
        if (waiting_bytes + length > queue_bytes || d->tail - d->head + sizeof packet + length > RING_BYTES) {
            d->overflowed++;
            continue;
        }
        d->free_at = begin + (int64_t)(length * 8 / bits_per_ns);
        packet.due = d->free_at + delay_ns;
        copy_in(d, d->tail, &packet, sizeof packet);
        copy_in(d, d->tail + sizeof packet, buffer, length);
        d->tail += sizeof packet + length;
    }
}

/* Deliver the packets that are due; return the time at which the next packet is due, or -1. */
static int64_t give(struct direction *d, int fd) {
    static char buffer[PACKET_BYTES];
    struct packet packet;
    while (d->head != d->tail) {
        copy_out(d, d->head, &packet, sizeof packet);
        if (packet.due > now_ns()) return packet.due;
        copy_out(d, d->head + sizeof packet, buffer, packet.length);
        /* A device that is full or not up yet drops the packet, as a cable would. */
        if (write(fd, buffer, packet.length) == (ssize_t)packet.length) d->passed++;
        d->head += sizeof packet + packet.length;
    }
    return -1;
}

int main(int argc, char **argv) {
    if (argc != 8) return 2;
    bits_per_ns = atof(argv[4]) / 1e9;
    delay_ns = atoll(argv[5]) * 1000;
    queue_bytes = atoll(argv[6]);
    uint64_t loss_ppm = strtoull(argv[7], NULL, 10);
    int fds[2] = {tun(argv[1], argv[3]), tun(argv[2], argv[3])};
    struct direction directions[2] = {{0}};
    for (int i = 0; i < 2; i++)
        if (!(directions[i].ring = malloc(RING_BYTES))) die("malloc");
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1ul);
    puts("ready");
    fflush(stdout);
    while (!stopping) {
        int64_t next = -1;
        for (int i = 0; i < 2; i++) {
            take(&directions[i], fds[i], i == 0 ? loss_ppm : 0);
            int64_t due = give(&directions[i], fds[1 - i]);
            if (due >= 0 && (next < 0 || due < next)) next = due;
        }
        int64_t left = next < 0 ? 1000000000ll : next - now_ns();
        if (left <= 0) continue;
        struct timespec wait = {left / 1000000000ll, left % 1000000000ll};
        struct pollfd polled[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
        if (ppoll(polled, 2, &wait, NULL) < 0 && errno != EINTR) die("ppoll");
    }
    for (int i = 0; i < 2; i++)
        printf("%s: %llu packets, %llu lost, %llu more than the queue holds\n", i ? "back" : "forth",
               (unsigned long long)directions[i].passed, (unsigned long long)directions[i].lost,
               (unsigned long long)directions[i].overflowed);
    return 0;
}
