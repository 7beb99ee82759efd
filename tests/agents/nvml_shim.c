/* A stand-in for libnvidia-ml.so.1: GPUs by kind, listed in NVML_SHIM, such as "good,lost,mig".
 *
 *   good   answers all           lost   fell off the bus: answers nothing
 *   bare   knows no memory, utilisation or device number     mig   cut into MIG instances
 *   dying  good when it is listed, lost when it is looked up later
 *   nouuid its identity cannot be read
 * NVML_SHIM=driver: nvmlInit itself fails. nvmlDeviceGetMigMode is missing with NVML_SHIM_OLD
 * defined at compile time, as in an old driver.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, BAD = 2, UNSUPPORTED = 3, NOT_FOUND = 6, NO_DRIVER = 9, LOST = 15, UNKNOWN = 999 };
#define LARGEST 16

struct memory { unsigned long long total, free, used; };
struct utilization { unsigned gpu, memory; };
typedef const char *device;

static char text[256];
static device kinds[LARGEST];
static unsigned count;

int nvmlInitWithFlags(unsigned flags)
{
    const char *given = getenv("NVML_SHIM");
    (void)flags;
    count = 0;
    snprintf(text, sizeof text, "%s", given ? given : "");
    if (!strcmp(text, "driver"))
        return NO_DRIVER;
    for (char *kind = strtok(text, ","); kind && count < LARGEST; kind = strtok(NULL, ","))
        kinds[count++] = kind;
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *found)
{
    *found = count;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *found)
{
    if (index >= count)
        return BAD;
    *found = kinds[index];
    return strcmp(kinds[index], "lost") ? OK : LOST;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device *found)
{
    unsigned index;
    if (sscanf(uuid, "GPU-%u", &index) != 1 || index >= count)
        return NOT_FOUND;
    *found = kinds[index];
    return strcmp(kinds[index], "dying") ? OK : LOST;
}

static unsigned index_of(device gpu)
{
    unsigned index = 0;
    while (index < count && kinds[index] != gpu)
        index++;
    return index;
}

int nvmlDeviceGetUUID(device gpu, char *uuid, unsigned size)
{
    snprintf(uuid, size, "GPU-%u", index_of(gpu));
    return strcmp(gpu, "nouuid") ? OK : UNKNOWN;
}

int nvmlDeviceGetName(device gpu, char *name, unsigned size)
{
    snprintf(name, size, "%s", strcmp(gpu, "bare") ? "NVIDIA A100-SXM4-80GB" : "NVIDIA GB200");
    return OK;
}

int nvmlDeviceGetMinorNumber(device gpu, unsigned *minor)
{
    *minor = count - 1 - index_of(gpu); /* on purpose not the index */
    return strcmp(gpu, "bare") ? OK : UNSUPPORTED;
}

int nvmlDeviceGetMemoryInfo(device gpu, struct memory *memory)
{
    memory->total = 80ULL << 30;
    memory->used = 1ULL << 30;
    memory->free = memory->total - memory->used;
    return strcmp(gpu, "bare") ? OK : UNSUPPORTED;
}

int nvmlDeviceGetUtilizationRates(device gpu, struct utilization *rates)
{
    rates->gpu = 91;
    rates->memory = 12;
    return strcmp(gpu, "bare") ? OK : UNSUPPORTED;
}

#ifndef NVML_SHIM_OLD
int nvmlDeviceGetMigMode(device gpu, unsigned *current, unsigned *pending)
{
    *current = *pending = !strcmp(gpu, "mig");
    return strcmp(gpu, "bare") ? OK : UNSUPPORTED;
}
#endif
