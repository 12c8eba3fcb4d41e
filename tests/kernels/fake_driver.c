// A CUDA driver without a GPU: memory is this process's own, kernels run through the host library.
//
// Strict where a real one is lenient: work on a stream happens when the stream is waited for, in order; memory begins as
// 0xFF; every address that a kernel is given must lie in live device memory; arguments must have the kernel's size.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALISED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
       INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, CAPTURING = 900 };
enum { KERNELS = 5, MANY = 256 };

static const char* const names[KERNELS] = {"ovk_patches", "ovk_action_statistics", "ovk_compose", "ovk_dispersion",
                                           "ovk_footprint"};
static const unsigned threads[KERNELS] = {128, 256, 64, 256, 128};
static const int pointers[KERNELS] = {3, 8, 5, 7, 4};

typedef struct { int kind; void *to; const void *from; size_t size; int kernel; unsigned blocks; char arguments[512]; } Work;
typedef struct { Work* work; int count, live, captured; } Stream;  // captured: -1, or where the capture began
typedef struct { Work* work; int count; } Graph;
static struct { char* at; size_t size; } memory[MANY];
static Stream streams[MANY];
static int initialised, retained, modules, launches, graphs, events, fault;  // fault: what every call fails with
static _Thread_local void* current;
static int context_object, module_object, function_objects[KERNELS];
static void* host;

static int entered(void) { return fault ? fault : !initialised ? NOT_INITIALISED : (current && retained > 0) ? OK : INVALID_CONTEXT; }
#define ENTER do { int status = entered(); if (status) return status; } while (0)

static int live(const void* at, size_t size) {
  for (int i = 0; i < MANY; ++i)
    if (memory[i].at && (const char*)at >= memory[i].at && (const char*)at + size <= memory[i].at + memory[i].size) return 1;
  return 0;
}

int cuInit(unsigned flags) {
  const char* path = getenv("FAKE_CUDA_HOST_LIBRARY");
  if (flags || !path || !(host = dlopen(path, RTLD_NOW | RTLD_LOCAL))) return INVALID_VALUE;
  initialised = 1;
  return OK;
}
int cuDriverGetVersion(int* version) {
  const char* text = getenv("FAKE_CUDA_VERSION");
  *version = text ? atoi(text) : 13000;
  return OK;
}
int cuDeviceGetCount(int* count) { *count = 1; return OK; }
int cuDeviceGet(int* device, int ordinal) { *device = 0; return !initialised ? NOT_INITIALISED : ordinal ? INVALID_DEVICE : OK; }
int cuDeviceGetName(char* name, int size, int device) { snprintf(name, size, "fake GPU %d", device); return OK; }
int cuDeviceGetAttribute(int* value, int which, int device) {
  const char* text = getenv("FAKE_CUDA_CAPABILITY");
  const int capability = text ? atoi(text) : 90;
  (void)device;
  *value = which == 75 ? capability / 10 : which == 76 ? capability % 10 : 0;
  return OK;
}
int cuDeviceComputeCapability(int* major, int* minor, int device) {
  cuDeviceGetAttribute(major, 75, device);
  return cuDeviceGetAttribute(minor, 76, device);
}
int cuDevicePrimaryCtxRetain(void** context, int device) { (void)device; ++retained; *context = &context_object; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) {
  (void)device;
  if (--retained < 0) return INVALID_CONTEXT;
  if (!retained && fault) {  // whatever the broken context held goes with it
    for (int i = 0; i < MANY; ++i) {
      free(memory[i].at);
      memory[i].at = NULL;
      if (streams[i].live) free(streams[i].work);
      streams[i].live = 0;
    }
    fault = modules = 0;
  }
  return OK;
}
int cuCtxSetCurrent(void* context) { current = context; return !context || context == &context_object ? OK : INVALID_CONTEXT; }

int cuCtxGetCurrent(void** context) { *context = current; return OK; }
int cuCtxGetDevice(int* device) { *device = 0; return current ? OK : INVALID_CONTEXT; }
// A stack of contexts a thread, as pycuda uses it.
static _Thread_local void* below[16];
static _Thread_local int depth;
int cuCtxPushCurrent_v2(void* context) {
  if (context != &context_object || depth == 16) return INVALID_CONTEXT;
  below[depth++] = current;
  current = context;
  return OK;
}
int cuCtxPopCurrent_v2(void** context) {
  if (!depth) return INVALID_CONTEXT;
  *context = current;
  current = below[--depth];
  return OK;
}

int cuModuleLoadData(void** module, const void* image) {
  ENTER;
  if (memcmp(image, "\x50\xed\x55\xba", 4)) return INVALID_IMAGE;  // the magic of a fat binary
  ++modules;
  *module = &module_object;
  return OK;
}
int cuModuleLoadDataEx(void** module, const void* image, unsigned options, int* names_of, void** values) {
  (void)options, (void)names_of, (void)values;
  return cuModuleLoadData(module, image);
}
int cuModuleUnload(void* module) { ENTER; --modules; return module == &module_object ? OK : INVALID_HANDLE; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
  ENTER;
  if (module != &module_object) return INVALID_HANDLE;
  for (int i = 0; i < KERNELS; ++i)
    if (!strcmp(name, names[i])) { *function = &function_objects[i]; return OK; }
  return NOT_FOUND;
}

int cuMemAlloc_v2(uint64_t* address, size_t size) {
  ENTER;
  for (int i = 0; i < MANY; ++i)
    if (!memory[i].at) {
      if (!(memory[i].at = malloc(size))) return OUT_OF_MEMORY;
      memory[i].size = size;
      memset(memory[i].at, 0xff, size);
      *address = (uint64_t)(uintptr_t)memory[i].at;
      return OK;
    }
  return OUT_OF_MEMORY;
}
int cuMemFree_v2(uint64_t address) {
  ENTER;
  for (int i = 0; i < MANY; ++i)
    if (memory[i].at && (uint64_t)(uintptr_t)memory[i].at == address) { free(memory[i].at); memory[i].at = NULL; return OK; }
  return INVALID_VALUE;
}

int cuStreamCreate(void** stream, unsigned flags) {
  ENTER;
  if (flags > 1) return INVALID_VALUE;
  for (int i = 0; i < MANY; ++i)
    if (!streams[i].live) { streams[i] = (Stream){malloc(MANY * sizeof(Work)), 0, 1, -1}; *stream = &streams[i]; return OK; }
  return OUT_OF_MEMORY;
}
static Stream* known(void* stream) {
  for (int i = 0; i < MANY; ++i)
    if (&streams[i] == stream && streams[i].live) return &streams[i];
  return NULL;
}
int cuStreamDestroy_v2(void* stream) {
  ENTER;
  Stream* found = known(stream);
  if (!found) return INVALID_HANDLE;
  free(found->work);
  found->live = 0;
  return OK;
}
static int later(void* stream, Work work) {
  Stream* found = known(stream);
  if (!found || found->count == MANY) return INVALID_HANDLE;
  found->work[found->count++] = work;
  return OK;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t size, void* stream) {
  ENTER;
  if (!live((void*)(uintptr_t)to, size)) return INVALID_VALUE;
  return later(stream, (Work){.kind = 0, .to = (void*)(uintptr_t)to, .from = from, .size = size});
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t size, void* stream) {
  ENTER;
  if (!live((void*)(uintptr_t)from, size)) return INVALID_VALUE;
  return later(stream, (Work){.kind = 0, .to = to, .from = (void*)(uintptr_t)from, .size = size});
}

// Deprecated, and what pycuda's prepared calls begin with.
int cuFuncSetBlockShape(void* function, int x, int y, int z) {
  ENTER;
  const int kernel = (int)((int*)function - function_objects);
  return kernel >= 0 && kernel < KERNELS && (unsigned)x == threads[kernel] && y == 1 && z == 1 ? OK : INVALID_VALUE;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
  ENTER;
  const int kernel = (int)((int*)function - function_objects);
  if (kernel < 0 || kernel >= KERNELS) return INVALID_HANDLE;
  if (gy != 1 || gz != 1 || by != 1 || bz != 1 || shared || !gx || bx != threads[kernel] || parameters || !extra)
    return INVALID_VALUE;
  const char* buffer = NULL;
  size_t size = 0;
  for (int i = 0; extra[i]; i += 2) {
    if (extra[i] == (void*)1) buffer = extra[i + 1];
    if (extra[i] == (void*)2) size = *(size_t*)extra[i + 1];
  }
  int32_t (*size_of)(int32_t) = (int32_t(*)(int32_t))dlsym(host, "ovk_size_of");
  if (!buffer || size != (size_t)size_of(kernel)) return INVALID_VALUE;
  for (int i = 0; i < pointers[kernel]; ++i) {
    void* address = ((void**)buffer)[i];
    if (address && !live(address, 1)) return ILLEGAL_ADDRESS;
  }
  Work work = {.kind = 1, .kernel = kernel, .blocks = gx};
  memcpy(work.arguments, buffer, size);
  return later(stream, work);
}
int cuStreamSynchronize(void* stream) {
  ENTER;
  Stream* found = known(stream);
  if (!found) return INVALID_HANDLE;
  if (found->captured >= 0) return CAPTURING;
  for (int i = 0; i < found->count; ++i) {
    Work* work = &found->work[i];
    if (work->kind == 0) {
      memcpy(work->to, work->from, work->size);
    } else {
      void (*run)(void*, int32_t, int32_t, int32_t) = (void (*)(void*, int32_t, int32_t, int32_t))dlsym(host, names[work->kernel]);
      if (getenv("FAKE_CUDA_FAULT")) return fault = ILLEGAL_ADDRESS;
      run(work->arguments, 0, (int32_t)work->blocks, 0);
      ++launches;
    }
  }
  found->count = 0;
  return OK;
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void* stream) {
  ENTER;
  if (!live((void*)(uintptr_t)to, size) || !live((void*)(uintptr_t)from, size)) return INVALID_VALUE;
  return later(stream, (Work){.kind = 0, .to = (void*)(uintptr_t)to, .from = (void*)(uintptr_t)from, .size = size});
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t size, void* stream) {
  static char zeros[1 << 16];
  ENTER;
  if (value || size > sizeof zeros || !live((void*)(uintptr_t)to, size)) return INVALID_VALUE;
  return later(stream, (Work){.kind = 0, .to = (void*)(uintptr_t)to, .from = zeros, .size = size});
}
// CUDA_MEMCPY2D of cuda.h.
typedef struct {
  size_t source_x, source_y;
  int source_type;
  const void* source_host;
  uint64_t source;
  void* source_array;
  size_t source_pitch, to_x, to_y;
  int to_type;
  void* to_host;
  uint64_t to;
  void* to_array;
  size_t to_pitch, width, rows;
} Rows;
int cuMemcpy2DAsync_v2(const Rows* copy, void* stream) {
  ENTER;
  if (copy->source_type != 2 || copy->to_type != 2 || copy->source_x || copy->source_y || copy->to_x || copy->to_y ||
      copy->width > copy->source_pitch || copy->width > copy->to_pitch)
    return INVALID_VALUE;
  int status = OK;
  for (size_t i = 0; i < copy->rows && !status; ++i)
    status = cuMemcpyDtoDAsync_v2(copy->to + i * copy->to_pitch, copy->source + i * copy->source_pitch, copy->width, stream);
  return status;
}

// What a stream is given between begin and end becomes a graph and does not run.
int cuStreamBeginCapture_v2(void* stream, int mode) {
  ENTER;
  Stream* found = known(stream);
  if (!found || mode != 1 || found->captured >= 0) return INVALID_VALUE;
  found->captured = found->count;
  return OK;
}
int cuStreamEndCapture(void* stream, void** graph) {
  ENTER;
  Stream* found = known(stream);
  if (!found || found->captured < 0) return INVALID_VALUE;
  Graph* made = malloc(sizeof *made);
  made->count = found->count - found->captured;
  made->work = malloc((made->count + 1) * sizeof(Work));
  memcpy(made->work, found->work + found->captured, made->count * sizeof(Work));
  found->count = found->captured;
  found->captured = -1;
  *graph = made;
  ++graphs;
  return OK;
}
int cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long flags) {
  ENTER;
  const Graph* from = graph;
  Graph* made = malloc(sizeof *made);
  made->count = from->count;
  made->work = malloc((made->count + 1) * sizeof(Work));
  memcpy(made->work, from->work, made->count * sizeof(Work));
  *ready = made;
  ++graphs;
  return flags ? INVALID_VALUE : OK;
}
int cuGraphLaunch(void* ready, void* stream) {
  ENTER;
  const Graph* graph = ready;
  int status = OK;
  for (int i = 0; i < graph->count && !status; ++i) status = later(stream, graph->work[i]);
  return status;
}
int cuGraphDestroy(void* graph) { ENTER; free(((Graph*)graph)->work); free(graph); --graphs; return OK; }
int cuGraphExecDestroy(void* ready) { return ready ? cuGraphDestroy(ready) : INVALID_VALUE; }

// Events keep no time: whatever lies between two of them took 2 ms.
int cuEventCreate(void** event, unsigned flags) { ENTER; *event = malloc(1); ++events; return flags ? INVALID_VALUE : OK; }
int cuEventRecord(void* event, void* stream) { ENTER; return event && known(stream) ? OK : INVALID_HANDLE; }
int cuEventElapsedTime(float* ms, void* from, void* to) { ENTER; *ms = 2.0f; return from && to ? OK : INVALID_HANDLE; }
int cuEventDestroy_v2(void* event) { ENTER; free(event); --events; return OK; }

int cuGetErrorString(int status, const char** text) { (void)status; *text = "fake"; return OK; }
int cuGetErrorName(int status, const char** text) {
  *text = status == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : status == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT"
        : status == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : status == INVALID_IMAGE ? "CUDA_ERROR_INVALID_IMAGE"
        : status == INVALID_HANDLE ? "CUDA_ERROR_INVALID_HANDLE" : status == INVALID_DEVICE ? "CUDA_ERROR_INVALID_DEVICE"
        : status == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
        : "CUDA_ERROR_OTHER";
  return OK;
}

// For the tests: what is still held, and how many launches ran.
void fake_counts(int32_t counts[7]) {
  memset(counts, 0, 7 * sizeof *counts);
  for (int i = 0; i < MANY; ++i) { counts[0] += memory[i].at != NULL; counts[1] += streams[i].live; }
  counts[2] = modules;
  counts[3] = retained;
  counts[4] = launches;
  counts[5] = graphs;
  counts[6] = events;
}
