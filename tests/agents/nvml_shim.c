/* A stand-in for libnvidia-ml.so.1: GPUs by kind, listed in NVML_SHIM, such as "good,lost,mig".
 *
 *   good   answers all           lost   fell off the bus: answers nothing
 *   bare   knows no memory, utilisation or device number     mig   in MIG mode, without instances
 *   cut    in MIG mode: 3g.40gb at 4, 1g.10gb+me at 0, one that was cut further, a hole between
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

/* Instances of a `cut` GPU by their index; -1 is a hole. Profiles have made-up ids. */
enum { MIGS = 4 };
static const int instance_ids[MIGS] = {2, -1, 9, 11};
static const unsigned profile_ids[MIGS] = {9, 0, 20, 14};
static const unsigned starts[MIGS] = {4, 0, 0, 2}, sizes[MIGS] = {4, 0, 1, 2};
static char migs[LARGEST][MIGS][16]; /* handles: their UUIDs */

static int is_mig(device gpu)
{
    return !strncmp(gpu, "MIG-", 4);
}

static unsigned which(device mig)
{
    unsigned gpu, index = 0;
    sscanf(mig, "MIG-%u-%u", &gpu, &index);
    return index;
}

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
    unsigned index, instance;
    if (sscanf(uuid, "MIG-%u-%u", &index, &instance) == 2 && index < count && instance < MIGS) {
        *found = migs[index][instance];
        return OK;
    }
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
    if (is_mig(gpu)) {
        snprintf(uuid, size, "%s", gpu);
        return OK;
    }
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
    return strcmp(gpu, "bare") && !is_mig(gpu) ? OK : UNSUPPORTED;
}

#ifndef NVML_SHIM_OLD
int nvmlDeviceGetMigMode(device gpu, unsigned *current, unsigned *pending)
{
    *current = *pending = !strcmp(gpu, "mig") || !strcmp(gpu, "cut");
    return strcmp(gpu, "bare") ? OK : UNSUPPORTED;
}
#endif

int nvmlDeviceGetMaxMigDeviceCount(device gpu, unsigned *found)
{
    *found = strcmp(gpu, "cut") ? 0 : MIGS;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device gpu, unsigned index, device *found)
{
    unsigned number = index_of(gpu);
    if (index >= MIGS || instance_ids[index] < 0)
        return NOT_FOUND;
    snprintf(migs[number][index], sizeof migs[number][index], "MIG-%u-%u", number, index);
    *found = migs[number][index];
    return OK;
}

int nvmlDeviceGetGpuInstanceId(device mig, unsigned *id)
{
    *id = instance_ids[which(mig)];
    return OK;
}

int nvmlDeviceGetComputeInstanceId(device mig, unsigned *id)
{
    (void)mig;
    *id = 0;
    return OK;
}

struct attributes {
    unsigned multiprocessors, engines[5], gpu_slices, compute_slices;
    unsigned long long memory_mb;
};

int nvmlDeviceGetAttributes_v2(device mig, struct attributes *found)
{
    static const unsigned slices[MIGS] = {3, 0, 1, 2};
    memset(found, 0, sizeof *found);
    found->gpu_slices = slices[which(mig)];
    found->compute_slices = which(mig) == 3 ? 1 : found->gpu_slices;
    return OK;
}

int nvmlDeviceGetGpuInstanceById(device gpu, unsigned id, const void **found)
{
    (void)gpu;
    for (int index = 0; index < MIGS; index++)
        if (instance_ids[index] == (int)id) {
            *found = &instance_ids[index];
            return OK;
        }
    return NOT_FOUND;
}

struct instance {
    device gpu;
    unsigned id, profile, start, size;
};

int nvmlGpuInstanceGetInfo(const int *instance, struct instance *found)
{
    unsigned index = (unsigned)(instance - instance_ids);
    found->id = (unsigned)*instance;
    found->profile = profile_ids[index];
    found->start = starts[index];
    found->size = sizes[index];
    return OK;
}

struct profile {
    unsigned version, id, p2p, slices, instances, counts[6];
    unsigned long long memory_mb;
    char name[96];
};

int nvmlDeviceGetGpuInstanceProfileInfoV(device gpu, unsigned number, struct profile *found)
{
    static const char *const names[] = {"MIG 1g.10gb+me", "", "MIG 2g.20gb", "MIG 3g.40gb"};
    static const unsigned ids[] = {20, 0, 14, 9};
    (void)gpu;
    if (number >= 4)
        return BAD;
    if (number == 1)
        return UNSUPPORTED;
    found->id = ids[number];
    snprintf(found->name, sizeof found->name, "%s", names[number]);
    return OK;
}
