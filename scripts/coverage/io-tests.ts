/**
 * Which test shows each register, fault, command and event of the I/O devices: a file below tests/, and words in it. Their tests write
 * offsets and codes as numbers, as the manuals do, so that names cannot be looked for. A row without an entry does not compile, and
 * tests/rules/io-coverage.test.ts looks for the words. 'absent': this hardware does not have it.
 */
import type { Opcode } from '../../iommu/amdvi/spec/commands';
import type { EventName } from '../../iommu/amdvi/spec/events';
import type { Register as AmdviRegister } from '../../iommu/amdvi/spec/registers';
import type { DescriptorType } from '../../iommu/vtd/spec/descriptors';
import type { FaultReason } from '../../iommu/vtd/spec/fault-reasons';
import type { Register as VtdRegister } from '../../iommu/vtd/spec/registers';
import type { Register as NvmeRegister } from '../../devices/pci/nvme/registers';

export type NamedTest = readonly [file: string, words: string] | 'absent';
type Rows<T> = Readonly<Record<keyof T & string, NamedTest>>;

const vtd = (file: string, words: string): NamedTest => [`iommu/vtd/${file}.test.ts`, words];
const amdvi = (file: string, words: string): NamedTest => [`iommu/amdvi/${file}.test.ts`, words];
const nvme = (file: string, words: string): NamedTest => [`devices/pci/nvme/${file}.test.ts`, words];

const VTD_CONTEXT = vtd('caches', "'another function, FM 3: none counts'");
const VTD_IOTLB = vtd('caches', "'register-based invalidation of %s'");
const VTD_PROTECTED = vtd('translation', 'untranslated DMA stops at them, without a fault record');
const VTD_COMPLETION = vtd('queue', 'IWC is set and the message is sent, once until software clears IWC');

// prettier-ignore
export const VTD_REGISTER_TESTS: Rows<typeof VtdRegister> = {
  VER:      vtd('registers', 'version 1.0; everything off'),
  CAP:      vtd('registers', "test('CAP'"),
  ECAP:     vtd('registers', 'ECAP: no device-TLBs, no scalable mode'),
  GCMD:     vtd('registers', 'each command shows in the status'),
  GSTS:     vtd('registers', 'each command shows in the status'),
  RTADDR:   vtd('translation', 'SRTP latches RTADDR'),
  CCMD:     VTD_CONTEXT,
  FSTS:     vtd('fault-log', 'records are filled in turn; FRI is the first that is pending'),
  FECTL:    vtd('fault-log', 'masked, it is pending; unmasking sends it'),
  FEDATA:   vtd('fault-log', 'one message, until software has served everything'),
  FEADDR:   vtd('fault-log', 'one message, until software has served everything'),
  FEUADDR:  vtd('fault-log', 'in extended interrupt mode the upper address holds destination bits 31:8'),
  AFLOG:    'absent',
  PMEN:     vtd('translation', 'PRS says that they are on'),
  PLMBASE:  VTD_PROTECTED,
  PLMLIMIT: VTD_PROTECTED,
  PHMBASE:  VTD_PROTECTED,
  PHMLIMIT: VTD_PROTECTED,
  IQH:      vtd('queue', 'the queue wraps around at its end'),
  IQT:      vtd('queue', 'a tail beyond the queue: invalid tail pointer'),
  IQA:      vtd('queue', 'QS: a queue of eight pages'),
  ICS:      VTD_COMPLETION,
  IECTL:    vtd('queue', 'masked, it is pending, and sent when it is unmasked'),
  IEDATA:   VTD_COMPLETION,
  IEADDR:   VTD_COMPLETION,
  IEUADDR:  vtd('queue', 'in extended interrupt mode the upper address holds destination bits 31:8'),
  IQERCD:   vtd('queue', "'type 6: needs scalable mode'"),
  IRTA:     vtd('interrupts', 'in extended interrupt mode the destination has 32 bits'),
  IVA:      VTD_IOTLB,
  IOTLB:    VTD_IOTLB,
  FRCD:     vtd('fault-log', 'records are read-only but for F, and F is cleared by 1 only'),
};

// prettier-ignore
export const VTD_FAULT_TESTS: Rows<typeof FaultReason> = {
  RootNotPresent:           vtd('dma-faults', "reason: 0x01, name: 'root entry not present'"),
  ContextNotPresent:        vtd('dma-faults', "reason: 0x02, name: 'context entry not present'"),
  ContextInvalid:           vtd('dma-faults', "reason: 0x03, name: 'AW 0'"),
  AddressBeyondMgaw:        vtd('dma-faults', "reason: 0x04, name: 'bit 39 with three levels'"),
  WriteDenied:              vtd('dma-faults', "reason: 0x05, name: 'write to a read-only page'"),
  ReadDenied:               vtd('dma-faults', "reason: 0x06, name: 'read of a write-only page'"),
  NextTableAccess:          vtd('dma-faults', "reason: 0x07, name: 'a table outside memory'"),
  RootTableAccess:          vtd('dma-faults', 'fault 8: root table outside memory'),
  ContextTableAccess:       vtd('dma-faults', "reason: 0x09, name: 'context table outside memory'"),
  RootReserved:             vtd('dma-faults', "reason: 0x0a, name: 'root entry bit 1'"),
  ContextReserved:          vtd('dma-faults', "reason: 0x0b, name: 'context entry bit 4'"),
  PagingEntryReserved:      vtd('dma-faults', "reason: 0x0c, name: 'SL-PTE beyond the host address width'"),
  TranslationTypeBlocks:    'absent',
  OutputInInterruptRange:   vtd('dma-faults', "reason: 0x0e, name: 'output in the interrupt range'"),
  RequestReserved:          vtd('interrupts', "'request: data 31:16 with a subhandle', 0x20"),
  IndexBeyondTable:         vtd('interrupts', "'index beyond the table of 256', 0x21"),
  IrteNotPresent:           vtd('interrupts', "'entry not present', 0x22"),
  IrteAccess:               vtd('interrupts', 'the table outside memory: 23h'),
  IrteReserved:             vtd('interrupts', "'reserved bit 12', 0x24"),
  CompatibilityBlocked:     vtd('interrupts', 'is blocked (25h)'),
  SourceIdMismatch:         vtd('interrupts', "'another source id', 0x26"),
  PostedDescriptorAccess:   vtd('interrupts', "'a descriptor outside memory', 0x27"),
  PostedDescriptorReserved: vtd('interrupts', "'reserved bits 15:2 of the control dword', 0x28"),
  TableModeInvalid:         vtd('dma-faults', 'fault 30h: a translation table mode that needs scalable mode'),
};

// prettier-ignore
export const VTD_DESCRIPTOR_TESTS: Rows<typeof DescriptorType> = {
  ContextCache:        VTD_CONTEXT,
  Iotlb:               vtd('caches', "'queued invalidation of %s'"),
  DeviceTlb:           'absent',
  InterruptEntryCache: vtd('interrupts', "'two indexes with it'"),
  Wait:                vtd('queue', 'a wait descriptor writes its status dword, fence or not'),
};

const AMDVI_RINGS = amdvi('registers', 'put the pointers of a ring back when its base is written');
const AMDVI_HARDWARE_EVENT = amdvi('device-table', 'a table that cannot be read: DEV_TAB_HARDWARE_ERROR with the address of the entry');
const AMDVI_EXCLUSION = amdvi('device-table', 'passes devices that EX allows, from the first byte of the base to the last of the limit');
const AMDVI_X2APIC = amdvi('interrupts', 'interrupts of the unit go where the x2APIC registers say while IntCapXTEn is set');
const AMDVI_GA_LOG = amdvi('interrupts', 'writes to the GA log for a guest that does not run, with its tag; the tail is in memory too');

// prettier-ignore
export const AMDVI_REGISTER_TESTS: Rows<typeof AmdviRegister> = {
  DEVICE_TABLE_BASE:        amdvi('device-table', 'a device beyond the table: IO_PAGE_FAULT'),
  COMMAND_BUFFER_BASE:      amdvi('commands', 'a reserved length (less than 256 commands) is not read'),
  EVENT_LOG_BASE:           amdvi('event-log', 'takes events in order, and wraps'),
  CONTROL:                  amdvi('registers', 'run their parts while these and the IOMMU are enabled'),
  EXCLUSION_BASE:           AMDVI_EXCLUSION,
  EXCLUSION_LIMIT:          AMDVI_EXCLUSION,
  EXTENDED_FEATURE:         amdvi('registers', 'advertise what executes'),
  PPR_LOG_BASE:             'absent',
  HARDWARE_EVENT_UPPER:     AMDVI_HARDWARE_EVENT,
  HARDWARE_EVENT_LOWER:     AMDVI_HARDWARE_EVENT,
  HARDWARE_EVENT_STATUS:    AMDVI_HARDWARE_EVENT,
  GA_LOG_BASE:              AMDVI_GA_LOG,
  GA_LOG_TAIL_ADDRESS:      AMDVI_GA_LOG,
  X2APIC_GENERAL_INTERRUPT: AMDVI_X2APIC,
  X2APIC_PPR_INTERRUPT:     'absent',
  X2APIC_GA_INTERRUPT:      AMDVI_X2APIC,
  EXTENDED_FEATURE_2:       amdvi('registers', 'advertise what executes'),
  COMMAND_HEAD:             amdvi('commands', 'stores all 64 bits, and moves the head past itself'),
  COMMAND_TAIL:             AMDVI_RINGS,
  EVENT_HEAD:               amdvi('event-log', 'overflows when there is "no usable entry": one less than its length'),
  EVENT_TAIL:               AMDVI_RINGS,
  STATUS:                   amdvi('event-log', 'does not resume while the overflow stands'),
  GA_HEAD:                  amdvi('interrupts', 'the log overflows like the event log'),
  GA_TAIL:                  AMDVI_GA_LOG,
};

// prettier-ignore
export const AMDVI_COMMAND_TESTS: Rows<typeof Opcode> = {
  COMPLETION_WAIT:            amdvi('commands', "describe('COMPLETION_WAIT'"),
  INVALIDATE_DEVTAB_ENTRY:    amdvi('caches', 'serves an entry after it changed, says so, and stops after INVALIDATE_DEVTAB_ENTRY'),
  INVALIDATE_IOMMU_PAGES:     amdvi('caches', 'serves a translation after its entry changed, says so, and stops after INVALIDATE_IOMMU_PAGES'),
  INVALIDATE_IOTLB_PAGES:     'absent',
  INVALIDATE_INTERRUPT_TABLE: amdvi('caches', 'serves an entry after it changed, says so, and stops after INVALIDATE_INTERRUPT_TABLE'),
  PREFETCH_IOMMU_PAGES:       amdvi('commands', "describe('PREFETCH_IOMMU_PAGES'"),
  COMPLETE_PPR_REQUEST:       'absent',
  INVALIDATE_IOMMU_ALL:       amdvi('registers', '8. iommu_flush_all_caches with INVALIDATE_IOMMU_ALL'),
};

// prettier-ignore
export const AMDVI_EVENT_TESTS: Readonly<Record<EventName, NamedTest>> = {
  ILLEGAL_DEV_TABLE_ENTRY: amdvi('device-table', 'Mode 7 is an invalid level encoding: ILLEGAL_DEV_TABLE_ENTRY, RZ = 0'),
  IO_PAGE_FAULT:           amdvi('device-table', 'V = 1, TV = 0: a page fault, the page not present'),
  DEV_TAB_HARDWARE_ERROR:  AMDVI_HARDWARE_EVENT,
  PAGE_TAB_HARDWARE_ERROR: amdvi('page-walk', 'a table that cannot be read: PAGE_TAB_HARDWARE_ERROR with the address of the entry'),
  ILLEGAL_COMMAND_ERROR:   amdvi('commands', "'%s: ILLEGAL_COMMAND_ERROR with the address of the command"),
  COMMAND_HARDWARE_ERROR:  amdvi('commands', 'a store that nothing takes: COMMAND_HARDWARE_ERROR with its address, and the buffer stops'),
  IOTLB_INV_TIMEOUT:       'absent',
  INVALID_DEVICE_REQUEST:  amdvi('device-table', 'cannot be read or written as memory: INVALID_DEVICE_REQUEST'),
};

const NVME_ADMIN_QUEUE = nvme('controller', 'CC.EN brings CSTS.RDY, clearing it takes it away; the admin queue registers stay');
const NVME_CAP = nvme('controller', 'CAP, VS: 1.4, NVM command set');
const NVME_MASK = nvme('controller', 'the pin follows the completions that wait, and INTMS and INTMC');

// prettier-ignore
export const NVME_REGISTER_TESTS: Rows<typeof NvmeRegister> = {
  CAP: NVME_CAP, CAP_HIGH: NVME_CAP, VS: NVME_CAP,
  INTMS: NVME_MASK, INTMC: NVME_MASK,
  CC: NVME_ADMIN_QUEUE, CSTS: NVME_ADMIN_QUEUE, AQA: NVME_ADMIN_QUEUE,
  ASQ: NVME_ADMIN_QUEUE, ASQ_HIGH: NVME_ADMIN_QUEUE, ACQ: NVME_ADMIN_QUEUE, ACQ_HIGH: NVME_ADMIN_QUEUE,
};

const NVME_QUEUES = nvme('controller', 'deleted queues can be created again, and their doorbells are then invalid');

/** By the names of the commands in the tables of the controller: tests/rules/io-coverage.test.ts compares. */
// prettier-ignore
export const NVME_ADMIN_TESTS: Readonly<Record<string, NamedTest | undefined>> = {
  'Delete I/O Submission Queue': NVME_QUEUES,
  'Create I/O Submission Queue': nvme('controller', "'create SQ: no such completion queue'"),
  'Get Log Page':                nvme('commands', "describe('log pages'"),
  'Delete I/O Completion Queue': NVME_QUEUES,
  'Create I/O Completion Queue': nvme('controller', "'create CQ: larger than CAP.MQES'"),
  'Identify':                    nvme('commands', "describe('identify'"),
  'Abort':                       nvme('controller', 'the fifth request is one too many; aborted ones complete'),
  'Set Features':                nvme('commands', 'number of queues: what is allocated, at most what there is, before any queue'),
  'Get Features':                nvme('commands', 'current, default and capabilities'),
  'Asynchronous Event Request':  nvme('controller', "describe('asynchronous events'"),
};

// prettier-ignore
export const NVME_IO_TESTS: Readonly<Record<string, NamedTest | undefined>> = {
  'Flush':              nvme('commands', 'flush, FUA and a write cache that is off make durable before the completion'),
  'Write':              nvme('commands', 'what was written is read, and is on the disk'),
  'Read':               nvme('commands', 'what was written is read, and is on the disk'),
  'Compare':            nvme('commands', 'opcode: 5, prp1: DATA, cdw: [3, 0, 7] }).status).toBe(0x285)'),
  'Write Zeroes':       nvme('commands', 'opcode: 8, cdw: [4, 0, 1]'),
  'Dataset Management': nvme('commands', 'deallocated blocks read as zeroes, as DLFEAT says; their neighbours stay'),
};

const virtio = (words: string): NamedTest => ['devices/virtio/devices.test.ts', words];

/** Requests of each device type: VIRTIO 1.2, "Device Types". */
export const VIRTIO_TESTS: readonly (readonly [device: string, request: string, test: NamedTest])[] = [
  ['block', 'VIRTIO_BLK_T_IN', virtio('write, read; the used length is what the device wrote')],
  ['block', 'VIRTIO_BLK_T_OUT', virtio('write, read; the used length is what the device wrote')],
  ['block', 'VIRTIO_BLK_T_FLUSH', virtio('flush completes after the store has; without the feature every write is durable')],
  ['block', 'VIRTIO_BLK_T_GET_ID', virtio('identification: 20 bytes, padded with zeroes')],
  ['block', 'VIRTIO_BLK_T_DISCARD', virtio('discard and write zeroes both leave zeroes: ranges, flags, limits')],
  ['block', 'VIRTIO_BLK_T_WRITE_ZEROES', virtio('discard and write zeroes both leave zeroes: ranges, flags, limits')],
  ['console', 'receiveq', virtio('input waits for buffers, and fills them as far as it goes')],
  ['console', 'transmitq', virtio('output through the transmit queue, and by emergency write before there are queues')],
  ['console', 'emerg_wr', virtio('output through the transmit queue, and by emergency write before there are queues')],
  ['entropy', 'requestq', virtio('fills what there is room for, up to its limit')],
];
