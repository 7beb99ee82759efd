/* libnvidia-ml.so.1 for tests: the calls the agent makes, with the figures and the faults that
 * SHIM_GPUS names, one letter a GPU: "g" is well, "l" lost, "u" tells no utilisation (MIG),
 * "m" no minor number, "d" dies after it was found, "n" has a name that is not text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, GPU_IS_LOST = 15 };
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;

static int asked[64];

static const char *gpus(void) {
    const char *found = getenv("SHIM_GPUS");
    return found ? found : "";
}
static char kind(void *device) { return gpus()[(size_t)device - 1]; }
static int number(void *device) { return (int)(size_t)device - 1; }

int nvmlInit_v2(void) { return strcmp(gpus(), "none") ? SUCCESS : 9; /* driver not loaded */ }
int nvmlInitWithFlags(unsigned int flags) { (void)flags; return nvmlInit_v2(); }
const char *nvmlErrorString(int result) { return result == GPU_IS_LOST ? "GPU is lost" : "fault"; }
int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = (unsigned int)strlen(gpus());
    return SUCCESS;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    *device = (void *)(size_t)(index + 1);
    return gpus()[index] == 'l' ? GPU_IS_LOST : SUCCESS;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    int index;
    if (sscanf(uuid, "GPU-shim-%d", &index) != 1) return NOT_FOUND;
    *device = (void *)(size_t)(index + 1);
    return kind(*device) == 'd' ? GPU_IS_LOST : SUCCESS;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned int length) {
    snprintf(text, length, "GPU-shim-%d", number(device));
    return SUCCESS;
}
int nvmlDeviceGetName(void *device, char *text, unsigned int length) {
    snprintf(text, length, kind(device) == 'n' ? "\xff\xfe" : "NVIDIA H100 80GB HBM3");
    return SUCCESS;
}
int nvmlDeviceGetMinorNumber(void *device, unsigned int *minor) {
    *minor = (unsigned int)number(device);
    return kind(device) == 'm' ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    memory->total = 80ULL << 30;
    memory->used = 1ULL << 30;
    memory->free = memory->total - memory->used;
    return asked[number(device)]++, SUCCESS;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    rates->gpu = 42;
    rates->memory = 7;
    return kind(device) == 'u' ? NOT_SUPPORTED : SUCCESS;
}
int nvmlShutdown(void) { return SUCCESS; }
