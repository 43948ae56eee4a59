/* A directory at once: its names, one look at each, rows as fustor_core.claims packs them.
 *
 * The plain case only. Of whatever is odd (an error, a time that does not fit, a name twice) it says
 * nothing at all, and fustor_core/files/listing.py reads the directory in its own way: what is true
 * is decided there. The interpreter's lock is given up once for every SLICE of names.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "row.h"

#define FORMAT 2                        /* of the whole package; fustor_core.files.compiled */
#define SLICE 1024                      /* names looked at between two looks at the stop sign */
#define FIRST_BYTES ((size_t)1 << 15)   /* of the kernel's entries; a small directory has fewer */
#define MOST_BYTES ((size_t)1 << 31)
#define LEAST_ENTRY 24                  /* what the kernel's shortest entry takes */
#define SECONDS_END ((int64_t)1 << 33)  /* from here on, nanoseconds need more than 63 bits */
#define SECOND 1000000000LL

_Static_assert(sizeof(off_t) == 8 && sizeof(ino_t) == 8, "needs 64-bit sizes and inodes");

struct entry {  /* as the kernel gives it */
    uint64_t ino;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};
#define NAME_AT offsetof(struct entry, name)

struct name {
    uint64_t head;  /* the first bytes that may differ; they compare as the names do */
    const char *text;
    uint32_t bytes;
    uint8_t type;
};

struct sight {  /* fustor_core.files.identity.Sight, of a directory */
    size_t at;
    uint64_t ino, dev;
    int64_t birth, ctime;
    uint32_t mode;
    int born, mounted;
};

struct work {
    int fd;
    char *entries;  /* all of them, one after the other; names point into it */
    size_t used, room;
    struct name *names;
    struct row *rows;
    size_t count, text_bytes;
    struct sight *sights;
    size_t seen, seen_room;
};

/* What the kernel has, into memory. 0, or -1: not me. */
static int
fetch(struct work *w)
{
    for (;;) {
        if (w->room - w->used < FIRST_BYTES / 2) {
            size_t room = w->room ? w->room * 2 : FIRST_BYTES;
            char *more = room <= MOST_BYTES ? realloc(w->entries, room) : NULL;
            if (more == NULL)
                return -1;
            w->entries = more;
            w->room = room;
        }
        size_t left = w->room - w->used;
        long got = syscall(SYS_getdents64, w->fd, w->entries + w->used,
                           left < (1 << 20) ? left : (size_t)1 << 20);
        if (got < 0 || (size_t)got > left)
            return -1;
        if (got == 0)
            return 0;
        w->used += (size_t)got;
    }
}

/* The names in what was fetched, as they come. 0, or -1: not me. */
static int
split(struct work *w)
{
    w->names = malloc((w->used / LEAST_ENTRY + 1) * sizeof *w->names);
    if (w->names == NULL)
        return -1;
    for (size_t at = 0; at < w->used;) {
        const struct entry *one = (const struct entry *)(w->entries + at);
        if (w->used - at < LEAST_ENTRY || one->bytes < LEAST_ENTRY || one->bytes > w->used - at)
            return -1;
        if (one->bytes % _Alignof(struct entry))
            return -1;
        size_t room = one->bytes - NAME_AT, bytes = strnlen(one->name, room);
        if (bytes == room || bytes == 0 || one->ino == 0 || memchr(one->name, '/', bytes))
            return -1;
        at += one->bytes;
        if (one->name[0] == '.' && (bytes == 1 || (bytes == 2 && one->name[1] == '.')))
            continue;
        w->names[w->count++] =
            (struct name){.text = one->name, .bytes = (uint32_t)bytes, .type = one->type};
        w->text_bytes += bytes;
    }
    return 0;
}

static int
order(const void *left, const void *right)
{
    const struct name *a = left, *b = right;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return strcmp(a->text, b->text);
}

/* Names in the order of their bytes. 0, or -1: one is there twice. */
static int
sort(struct work *w)
{
    if (w->count == 0)
        return 0;
    const struct name *names = w->names;
    size_t same = names[0].bytes;  /* bytes that all names begin with */
    for (size_t i = 1; i < w->count; i++) {
        size_t until = names[i].bytes < same ? names[i].bytes : same;
        for (same = 0; same < until && names[i].text[same] == names[0].text[same];)
            same++;
    }
    for (size_t i = 0; i < w->count; i++) {
        size_t bytes = names[i].bytes - same;
        uint64_t head = 0;
        memcpy(&head, names[i].text + same, bytes < sizeof head ? bytes : sizeof head);
        w->names[i].head = be64toh(head);
    }
    qsort(w->names, w->count, sizeof *w->names, order);
    for (size_t i = 1; i < w->count; i++)
        if (order(&names[i - 1], &names[i]) == 0)
            return -1;
    return 0;
}

/* Nanoseconds of a time that fits. 0, or -1: not me. */
static int
nanoseconds(int64_t seconds, int64_t rest, int64_t *all)
{
    if (seconds < 0 || seconds >= SECONDS_END || rest < 0 || rest >= SECOND)
        return -1;
    *all = seconds * SECOND + rest;
    return 0;
}

/* A look that sees births and mounts, which only those of directories are wanted. */
static int
look_closer(struct work *w, size_t at, struct row *row)
{
    struct statx st;
    int64_t mtime, ctime, birth = 0;
    if (statx(w->fd, w->names[at].text, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_BASIC_STATS | STATX_BTIME, &st))
        return -1;
    int born = (st.stx_mask & STATX_BTIME) != 0;
    if (nanoseconds(st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec, &mtime) ||
        nanoseconds(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec, &ctime) ||
        (born && nanoseconds(st.stx_btime.tv_sec, st.stx_btime.tv_nsec, &birth)))
        return -1;
    *row = (struct row){htole64(st.stx_size), htole64((uint64_t)mtime), htole64((uint64_t)ctime),
                        htole64(st.stx_ino), htole32(st.stx_mode), htole32(st.stx_uid),
                        htole32(st.stx_gid), htole32(st.stx_nlink)};
    if (!S_ISDIR(st.stx_mode))
        return 0;
    if (w->seen == w->seen_room) {
        size_t room = w->seen_room ? w->seen_room * 2 : 16;
        struct sight *more = realloc(w->sights, room * sizeof *more);
        if (more == NULL)
            return -1;
        w->sights = more;
        w->seen_room = room;
    }
    w->sights[w->seen++] = (struct sight){
        .at = at, .ino = st.stx_ino, .dev = makedev(st.stx_dev_major, st.stx_dev_minor),
        .birth = birth, .ctime = ctime, .mode = st.stx_mode, .born = born,
        .mounted = (st.stx_attributes & 0x2000) != 0};  /* STATX_ATTR_MOUNT_ROOT, Linux 5.8 */
    return 0;
}

/* Rows of the names from one place to another. 0, or -1: not me. */
static int
look(struct work *w, size_t at, size_t end)
{
    for (; at < end; at++) {
        struct row *row = &w->rows[at];
        struct stat st;
        int64_t mtime, ctime;
        if (w->names[at].type != DT_DIR) {
            if (fstatat(w->fd, w->names[at].text, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
                return -1;
            if (!S_ISDIR(st.st_mode)) {
                if (nanoseconds(st.st_mtim.tv_sec, st.st_mtim.tv_nsec, &mtime) ||
                    nanoseconds(st.st_ctim.tv_sec, st.st_ctim.tv_nsec, &ctime) ||
                    st.st_size < 0 || st.st_nlink > UINT32_MAX)
                    return -1;
                *row = (struct row){htole64((uint64_t)st.st_size), htole64((uint64_t)mtime),
                                    htole64((uint64_t)ctime), htole64(st.st_ino),
                                    htole32(st.st_mode), htole32(st.st_uid), htole32(st.st_gid),
                                    htole32((uint32_t)st.st_nlink)};
                continue;
            }
        }
        if (look_closer(w, at, row))
            return -1;
    }
    return 0;
}

/* All that comes before the first look. 0, or -1: not me; 1: the descriptor is not as it was. */
static int
list(struct work *w)
{
    if (lseek(w->fd, 0, SEEK_SET))
        return -1;
    int odd = fetch(w);
    if (lseek(w->fd, 0, SEEK_SET))  /* whoever reads it next begins at the beginning */
        return 1;
    if (odd || split(w) || sort(w))
        return -1;
    w->rows = w->count <= SIZE_MAX / sizeof *w->rows ? malloc(w->count * sizeof *w->rows + 1) : NULL;
    return w->rows == NULL ? -1 : 0;
}

static PyObject *
joined(const struct work *w)
{
    Py_ssize_t bytes = w->count ? (Py_ssize_t)(w->text_bytes + w->count - 1) : 0;
    PyObject *blob = PyBytes_FromStringAndSize(NULL, bytes);
    char *to = blob != NULL && bytes ? PyBytes_AsString(blob) : NULL;
    for (size_t i = 0; to != NULL && i < w->count; i++) {
        memcpy(to, w->names[i].text, w->names[i].bytes + 1);  /* with its NUL: the last is ours */
        to += w->names[i].bytes + 1;
    }
    return blob;
}

static PyObject *
sights(const struct work *w)
{
    PyObject *all = PyDict_New();
    for (size_t i = 0; all != NULL && i < w->seen; i++) {
        const struct sight *one = &w->sights[i];
        const struct name *name = &w->names[one->at];
        PyObject *born = one->born ? PyLong_FromLongLong(one->birth) : Py_BuildValue("");
        PyObject *key = PyBytes_FromStringAndSize(name->text, (Py_ssize_t)name->bytes);
        PyObject *seen = born == NULL ? NULL : Py_BuildValue(
            "(IKOLKO)", one->mode, (unsigned long long)one->ino, born, (long long)one->ctime,
            (unsigned long long)one->dev, one->mounted ? Py_True : Py_False);
        if (key == NULL || seen == NULL || PyDict_SetItem(all, key, seen))
            Py_CLEAR(all);
        Py_XDECREF(born);
        Py_XDECREF(key);
        Py_XDECREF(seen);
    }
    return all;
}

static PyObject *
answer(const struct work *w)
{
    PyObject *blob = joined(w), *found = NULL, *all = NULL;
    PyObject *rows = PyBytes_FromStringAndSize(
        (const char *)w->rows, (Py_ssize_t)(w->count * sizeof *w->rows));
    if (blob != NULL && rows != NULL && (found = sights(w)) != NULL)
        all = PyTuple_Pack(3, blob, rows, found);
    Py_XDECREF(blob);
    Py_XDECREF(rows);
    Py_XDECREF(found);
    return all;
}

/* Everything, with the stop sign asked before each slice. 0, -1: not me; 1: an error is set. */
static int
run(struct work *w, PyObject *stopped)
{
    for (size_t at = 0;;) {
        PyObject *said = PyObject_CallObject(stopped, NULL);
        int stop = said == NULL ? -1 : PyObject_IsTrue(said);
        Py_XDECREF(said);
        if (stop)
            return stop < 0 ? 1 : -1;
        int odd = 0;
        Py_BEGIN_ALLOW_THREADS
        if (w->rows == NULL)
            odd = list(w);
        size_t end = w->count - at < SLICE ? w->count : at + SLICE;
        if (!odd)
            odd = look(w, at, end);
        at = end;
        Py_END_ALLOW_THREADS
        if (odd == 1)
            PyErr_SetFromErrno(PyExc_OSError);
        if (odd || at == w->count)
            return odd;
    }
}

static PyObject *
read_directory(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct work w = {0};
    PyObject *stopped, *all = NULL;
    if (!PyArg_ParseTuple(arguments, "iO:read", &w.fd, &stopped))
        return NULL;
    int odd = run(&w, stopped);
    if (odd < 0)
        all = Py_BuildValue("");
    else if (odd == 0)
        all = answer(&w);
    free(w.entries);
    free(w.names);
    free(w.rows);
    free(w.sights);
    return all;
}

PyDoc_STRVAR(read_doc,
    "read(fd, stopped)\n--\n\n"
    "Names, rows and what was seen of directories in the one open on `fd`, or None: not me.\n\n"
    "`stopped` is asked before every 1,024 looks; when it says yes the answer is None.");

static PyMethodDef methods[] = {{"read", read_directory, METH_VARARGS, read_doc}, {0}};

static int
fill(PyObject *module)
{
    return PyModule_AddIntConstant(module, "FORMAT", FORMAT);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_reading", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC
PyInit__reading(void)
{
    return PyModuleDef_Init(&definition);
}
