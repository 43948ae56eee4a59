/* A row as fustor_core.claims.ROW packs it: little-endian, without gaps. */
#include <stdint.h>

struct row {
    uint64_t size, mtime, ctime, ino;
    uint32_t mode, uid, gid, nlink;
};
_Static_assert(sizeof(struct row) == 48, "a row has 48 bytes");
