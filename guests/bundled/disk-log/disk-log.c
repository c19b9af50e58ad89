/*
 * A log on a virtio disk that says what it promises: it looks for the newest record that an earlier run left, then appends records for ever
 * (or as many as `records=N` says), one slot of 4 KiB each, with a flush behind each one. "flushed N" on the console means: record N is durable.
 * The driver is the smallest that VIRTIO 1.2 allows: one queue, one request at a time, no interrupts.
 */
#include "../common/guest.h"

/* ---- PCI ---- */

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define VIRTIO_BLOCK 0x10421af4
#define MEMORY_AND_MASTER 0x6
enum { COMMAND = 0x04, BARS = 0x10, CAPABILITIES = 0x34 };

static inline u32 inl(u16 port) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }

static u32 slot;

static u32 config(u32 at) {
  outl(CONFIG_ADDRESS, 0x80000000 | slot << 11 | (at & ~3u));
  return inl(CONFIG_DATA) >> 8 * (at & 3);
}

static int find_disk(void) {
  for (slot = 0; slot < 32; slot++)
    if (config(0) == VIRTIO_BLOCK) return 1;
  return 0;
}

/* "Virtio Structure PCI Capabilities" */
enum { COMMON_CFG = 1, NOTIFY_CFG = 2, DEVICE_CFG = 4 };

static u64 structure(u32 type) {
  for (u32 at = config(CAPABILITIES) & 0xff; at; at = config(at + 1) & 0xff) {
    if ((config(at) & 0xff) != 0x09 || (config(at + 3) & 0xff) != type) continue;
    u32 bar = BARS + 4 * (config(at + 4) & 0xff);
    u64 base = config(bar) & ~0xfu;
    if ((config(bar) & 6) == 4) base |= (u64)config(bar + 4) << 32;
    return base + config(at + 8);
  }
  return 0;
}

/* ---- the queue ---- */

struct common_configuration {
  u32 device_feature_select, device_feature, driver_feature_select, driver_feature;
  u16 config_vector, queues;
  u8 status, generation;
  u16 queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
  u32 queue_desc[2], queue_driver[2], queue_device[2];
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
#define FEATURE_FLUSH (1 << 9)
#define FEATURE_VERSION_1_AND_ACCESS_PLATFORM 3 /* bits 32 and 33 */

#define SIZE 4
enum { NEXT = 1, WRITABLE = 2 };
static volatile struct { u64 address; u32 length; u16 flags, next; } descriptors[SIZE] __attribute__((aligned(16)));
static volatile struct { u16 flags, index, ring[SIZE]; } available __attribute__((aligned(4)));
static volatile struct { u16 flags, index; struct { u32 id, length; } ring[SIZE]; } used __attribute__((aligned(4)));

static volatile u16 *doorbell;
static u64 sectors;

static int start_disk(void) {
  if (!find_disk()) return 0;
  outl(CONFIG_ADDRESS, 0x80000000 | slot << 11 | COMMAND);
  outw(CONFIG_DATA, MEMORY_AND_MASTER);
  volatile struct common_configuration *common = (void *)structure(COMMON_CFG);
  common->status = 0;
  common->status = ACKNOWLEDGE;
  common->status = ACKNOWLEDGE | DRIVER;
  common->driver_feature_select = 0;
  common->driver_feature = FEATURE_FLUSH;
  common->driver_feature_select = 1;
  common->driver_feature = FEATURE_VERSION_1_AND_ACCESS_PLATFORM;
  common->status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
  if (!(common->status & FEATURES_OK)) return 0;
  common->queue_select = 0;
  common->queue_size = SIZE;
  common->queue_desc[0] = (u32)(u64)descriptors;
  common->queue_driver[0] = (u32)(u64)&available;
  common->queue_device[0] = (u32)(u64)&used;
  common->queue_enable = 1;
  common->status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
  /* Queue 0 has the first notification address, whatever the multiplier. */
  doorbell = (void *)structure(NOTIFY_CFG);
  volatile u32 *capacity = (void *)structure(DEVICE_CFG);
  sectors = capacity[0] | (u64)capacity[1] << 32;
  return 1;
}

/* ---- requests ---- */

enum { IN = 0, OUT = 1, FLUSH = 4 };
#define SLOT_BYTES 4096
#define SLOT_SECTORS (SLOT_BYTES / 512)

static struct { u32 type, reserved; u64 sector; } header;
static volatile u8 status;

static void describe(int at, volatile void *buffer, u32 length, u16 flags) {
  descriptors[at].address = (u64)buffer;
  descriptors[at].length = length;
  descriptors[at].flags = flags;
  descriptors[at].next = (u16)(at + 1);
}

static void request(u32 type, u64 sector, void *data) {
  header.type = type;
  header.sector = sector;
  status = 0xff;
  int last = 1;
  describe(0, &header, sizeof header, NEXT);
  if (data) describe(last++, data, SLOT_BYTES, NEXT | (type == IN ? WRITABLE : 0));
  describe(last, &status, 1, WRITABLE);
  u16 before = used.index;
  available.ring[available.index % SIZE] = 0;
  __asm__ volatile("mfence" : : : "memory");
  available.index++;
  __asm__ volatile("mfence" : : : "memory");
  *doorbell = 0;
  while (used.index == before) __asm__ volatile("pause" : : : "memory");
  if (status == 0) return;
  print("request %u at sector %lu failed with status %u\n", type, sector, (u32)status);
  power_off();
}

/* ---- the log ---- */

#define MAGIC 0x31474f4c4b534944UL /* "DISKLOG1" */
#define WORDS (SLOT_BYTES / 8)
/* Words of a record: magic, sequence number, filling that follows from it, and a checksum of all before it. */
static u64 record[WORDS] __attribute__((aligned(4096)));

/* FNV-1a over words. */
static u64 checksum(void) {
  u64 sum = 0xcbf29ce484222325UL;
  for (int i = 0; i < WORDS - 1; i++) sum = (sum ^ record[i]) * 0x100000001b3UL;
  return sum;
}

static void write_record(u64 sequence, u64 slots) {
  record[0] = MAGIC;
  record[1] = sequence;
  for (int i = 2; i < WORDS - 1; i++) record[i] = (sequence * WORDS + (u64)i) * 0x9e3779b97f4a7c15UL;
  record[WORDS - 1] = checksum();
  request(OUT, sequence % slots * SLOT_SECTORS, record);
}

static u64 newest(u64 slots) {
  u64 found = 0;
  for (u64 i = 0; i < slots; i++) {
    request(IN, i * SLOT_SECTORS, record);
    if (record[0] == MAGIC && record[WORDS - 1] == checksum() && record[1] > found) found = record[1];
  }
  return found;
}

static u64 wanted_records(void) {
  const char *line = command_line(), *name = "records=";
  for (; *line; line++) {
    int i = 0;
    while (name[i] && line[i] == name[i]) i++;
    if (name[i]) continue;
    u64 value = 0;
    for (line += i; *line >= '0' && *line <= '9'; line++) value = value * 10 + (u64)(*line - '0');
    return value;
  }
  return ~0UL;
}

void main(const struct start_info *info) {
  machine_open(info);
  if (!start_disk()) {
    print("there is no virtio disk: give --drive disk.img,if=virtio\n");
    return;
  }
  u64 slots = sectors / SLOT_SECTORS;
  u64 sequence = newest(slots);
  print("recovered %lu\n", sequence);
  for (u64 left = wanted_records(); left > 0; left--) {
    write_record(++sequence, slots);
    request(FLUSH, 0, 0);
    print("flushed %lu\n", sequence);
  }
}
