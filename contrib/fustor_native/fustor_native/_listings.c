/* What a server asks of every listing that comes: whether its blobs can be stored, and what its rows
 * add up to.
 *
 * Both say what fustor_core.soundness.stores and fustor_view_file.firsts say, of any bytes: neither
 * trusts that the other was asked before.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "row.h"

#define NAME_BYTES_MAX 4096          /* fustor_core.claims */
#define SIZE_MOST ((uint64_t)1 << 50)  /* fustor_view_file.firsts */
#define TOP_BYTE 7                   /* of a size */
#define KIND 0xF000u
#define REGULAR 0x8000u

/* How many names a blob has that ends with a NUL of its own, 0: they are not what is stored. */
static size_t
names_in(const char *text, size_t bytes)
{
    const char *end = text + bytes, *before = NULL;
    size_t count = 0;
    if (memchr(text, '/', bytes) != NULL)
        return 0;
    for (;; text++) {
        size_t length = strlen(text);
        if (length == 0 || length > NAME_BYTES_MAX)
            return 0;
        if (text[0] == '.' && (length == 1 || (length == 2 && text[1] == '.')))
            return 0;
        if (before != NULL && strcmp(before, text) >= 0)
            return 0;
        count++;
        before = text;
        text += length;
        if (text == end)
            return count;
    }
}

static PyObject *
stores(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    char *names, *rows;  /* of bytes objects, which have a NUL behind their last byte */
    Py_ssize_t length, bytes;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "stores() takes names and rows");
    if (PyBytes_AsStringAndSize(given[0], &names, &length) ||
        PyBytes_AsStringAndSize(given[1], &rows, &bytes))
        return NULL;
    size_t found = length ? names_in(names, (size_t)length) : 0;
    if ((length && !found) || found * sizeof(struct row) != (size_t)bytes)
        return PyBool_FromLong(0);
    unsigned char tops = 0;
    for (Py_ssize_t at = TOP_BYTE; at < bytes; at += (Py_ssize_t)sizeof(struct row))
        tops |= (unsigned char)rows[at];
    return PyBool_FromLong(tops < 0x80);
}

struct sums {
    uint64_t bytes;  /* they wrap, as those of directories do */
    int64_t newest, changed;
};

/* What rows add up to that are all of old regular files with one link, 0; else -1. */
static int
add(const char *rows, size_t count, int64_t last, struct sums *sums)
{
    *sums = (struct sums){0, INT64_MIN, INT64_MIN};
    for (; count; count--, rows += sizeof(struct row)) {
        struct row row;
        memcpy(&row, rows, sizeof row);
        uint64_t size = le64toh(row.size);
        int64_t mtime = (int64_t)le64toh(row.mtime), ctime = (int64_t)le64toh(row.ctime);
        int64_t changed = mtime > ctime ? mtime : ctime;
        if ((le32toh(row.mode) & KIND) != REGULAR || le32toh(row.nlink) != 1 || size > SIZE_MOST ||
            changed > last)
            return -1;
        sums->bytes += size;
        if (mtime > sums->newest)
            sums->newest = mtime;
        if (changed > sums->changed)
            sums->changed = changed;
    }
    return 0;
}

static PyObject *
adds_up(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    char *rows;
    Py_ssize_t bytes;
    int beyond;  /* of 64 bits, and on which side */
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "adds_up() takes rows and a time");
    if (PyBytes_AsStringAndSize(given[0], &rows, &bytes))
        return NULL;
    int64_t before = PyLong_AsLongLongAndOverflow(given[1], &beyond);
    if (before == -1 && PyErr_Occurred())
        return NULL;
    if (bytes == 0 || bytes % (Py_ssize_t)sizeof(struct row))
        return PyErr_Format(PyExc_ValueError, "%zd bytes are no rows", bytes);
    size_t files = (size_t)bytes / sizeof(struct row);
    struct sums sums;
    if (beyond < 0 || (before == INT64_MIN && !beyond) ||
        add(rows, files, beyond ? INT64_MAX : before - 1, &sums))
        return Py_BuildValue("");
    return Py_BuildValue("(nLLL)", (Py_ssize_t)files, (long long)sums.bytes,
                         (long long)sums.newest, (long long)sums.changed);
}

PyDoc_STRVAR(stores_doc,
    "stores(names, rows)\n--\n\n"
    "Whether nothing at all is wrong with the blobs of a listing.");
PyDoc_STRVAR(adds_up_doc,
    "adds_up(rows, before_ns)\n--\n\n"
    "(Files, bytes, newest mtime, newest change) of rows, or None: not all of them are old regular\n"
    "files with one link.\n\n"
    "Raises ValueError when there is no row, or a part of one.");

static PyMethodDef methods[] = {
    {"stores", (PyCFunction)(void (*)(void))stores, METH_FASTCALL, stores_doc},
    {"adds_up", (PyCFunction)(void (*)(void))adds_up, METH_FASTCALL, adds_up_doc},
    {0}};

static PyModuleDef_Slot slots[] = {{0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_listings", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC
PyInit__listings(void)
{
    return PyModuleDef_Init(&definition);
}
