/* A libnrt of our own for tests: one input and one output of the size in the "NEFF" (a decimal number); running negates each byte.
   HEDDLE_STUB=hang|crash|load|execute|names chooses what goes wrong. It counts what is not freed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { char name[256]; int usage; size_t size; int dtype; uint32_t *shape; uint32_t ndim; } info;
typedef struct { uint64_t count; info rows[2]; } infos;
typedef struct { size_t size; unsigned char *bytes; } tensor;
typedef struct { tensor *t; } set;
typedef struct { size_t size; } model;

static int live;
static int wants(const char *word) { const char *s = getenv("HEDDLE_STUB"); return s && !strcmp(s, word); }
static void *make(size_t n) { ++live; return calloc(1, n); }
static void drop(void *p) { --live; free(p); }

int nrt_init(int framework, const char *a, const char *b) { (void)a, (void)b; fprintf(stderr, "stub: init %d\n", framework); return 0; }
void nrt_close(void) { fprintf(stderr, "stub: live objects %d\n", live); }
int nrt_load(const void *neff, size_t size, int32_t core, int32_t count, model **m) {
  char text[32] = {0};
  if (wants("load")) { fprintf(stderr, "stub: this NEFF is for another device\n"); return 10; }
  memcpy(text, neff, size < 31 ? size : 31);
  *m = make(sizeof **m);
  (*m)->size = strtoul(text, 0, 10);
  return core == -1 && count == 1 ? 0 : 2;
}
int nrt_unload(model *m) { drop(m); return 0; }
int nrt_get_model_tensor_info(model *m, infos **out) {
  infos *t = *out = make(sizeof(infos));
  t->count = 2;
  strcpy(t->rows[0].name, "x"), strcpy(t->rows[1].name, "y");
  t->rows[1].usage = 1;
  t->rows[0].size = t->rows[1].size = m->size + wants("names");
  return 0;
}
int nrt_free_model_tensor_info(infos *t) { drop(t); return 0; }
int nrt_allocate_tensor_set(set **s) { *s = make(sizeof **s); return 0; }
void nrt_destroy_tensor_set(set **s) { drop(*s); }
int nrt_add_tensor_to_tensor_set(set *s, const char *name, tensor *t) { s->t = t; return strlen(name) == 1 ? 0 : 2; }
int nrt_tensor_allocate(int where, int core, size_t size, const char *name, tensor **t) {
  (void)core, (void)name;
  *t = make(sizeof **t);
  (*t)->size = size, (*t)->bytes = make(size + 1);
  return where;
}
void nrt_tensor_free(tensor **t) { drop((*t)->bytes); drop(*t); }
int nrt_tensor_write(tensor *t, const void *from, size_t at, size_t size) { memcpy(t->bytes + at, from, size); return 0; }
int nrt_tensor_read(const tensor *t, void *to, size_t at, size_t size) { memcpy(to, t->bytes + at, size); return 0; }
int nrt_execute(model *m, const set *in, set *out) {
  size_t i;
  if (wants("hang")) for (;;) sleep(1);
  if (wants("crash")) abort();
  if (wants("execute")) { fprintf(stderr, "stub: DMA abort on queue 3\n"); return 1006; }
  for (i = 0; i < m->size; ++i) out->t->bytes[i] = (unsigned char)~in->t->bytes[i];
  return 0;
}
