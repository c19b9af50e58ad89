/** Queued invalidation: VT-d specification, "Queued Invalidation Interface". Descriptors are worked off at once, in order. */
import type { TableMemory } from '../table-memory';
import { readQwords } from '../table-memory';
import type { InterruptRemapping } from './interrupt-remapping';
import { hex } from './refusal';
import { DESCRIPTORS, DESCRIPTOR_BYTES, DescriptorType, Granularity, Wait, descriptorType, field } from './spec/descriptors';
import { QueueError, type QueueErrorInfo } from './spec/registers';
import type { TranslationCaches } from './translation-caches';

/** IQA, IQT and IQH as the registers hold them. */
export interface Queue {
  readonly address: number;
  /** Bytes. */
  readonly size: number;
  readonly head: number;
  readonly tail: number;
}

/** Where the queue stopped, and why if it was not at the tail. */
export interface QueueProgress {
  readonly head: number;
  readonly error: QueueErrorInfo;
  readonly text: string;
}

export interface QueueEffects {
  readonly memory: TableMemory;
  readonly caches: TranslationCaches;
  readonly interrupts: InterruptRemapping;
  readonly maximumAddressMask: number;
  readonly interruptRemapping: boolean;
  /** A wait descriptor with IF: "invalidation wait descriptor complete". */
  readonly completed: () => void;
}

/** Works off descriptors from the head until the tail or the first error, at whose descriptor the head stays. */
export function runQueue(queue: Queue, effects: QueueEffects): QueueProgress {
  const { address, size, tail } = queue;
  let { head } = queue;
  const stop = (error: QueueErrorInfo, text: string): QueueProgress => ({ head, error, text });
  if (tail >= size) return stop(QueueError.InvalidTail, `tail ${hex(tail)} in a queue of ${hex(size)} bytes`);
  while (head !== tail) {
    const descriptor = readQwords(effects.memory, address + head, 2);
    if (descriptor === undefined) return stop(QueueError.FetchError, `nothing at ${hex(address + head)}`);
    const error = execute(descriptor, effects);
    if (error !== undefined) return stop(error, descriptor.map(hex).join(', '));
    head = (head + DESCRIPTOR_BYTES) % size;
  }
  return stop(QueueError.None, '');
}

function execute(descriptor: readonly bigint[], effects: QueueEffects): QueueErrorInfo | undefined {
  const [low, high] = descriptor;
  const type = descriptorType(low);
  const layout = DESCRIPTORS[type];
  // Interrupt-entry cache invalidation is there with interrupt remapping; device-TLB invalidation is not, as ECAP.DT says.
  if (layout === undefined || (type === DescriptorType.InterruptEntryCache && !effects.interruptRemapping)) return QueueError.InvalidType;
  if ((low & layout.reserved[0]) !== 0n || (high & layout.reserved[1]) !== 0n) return QueueError.ReservedField;
  switch (type) {
    case DescriptorType.ContextCache:
      return invalidateContexts(low, effects.caches);
    case DescriptorType.Iotlb:
      return invalidateTranslations(low, high, effects);
    case DescriptorType.InterruptEntryCache:
      if (field(low, 4, 1) === 0) effects.interrupts.invalidateAll();
      else effects.interrupts.invalidateIndex(field(low, 32, 16), field(low, 27, 5));
      return undefined;
    default:
      return wait(low, high, effects);
  }
}

function invalidateContexts(low: bigint, caches: TranslationCaches): QueueErrorInfo | undefined {
  const domain = field(low, 16, 16);
  switch (field(low, 4, 2)) {
    case Granularity.Global:
      return void caches.invalidateContexts();
    case Granularity.Domain:
      return void caches.invalidateDomainContexts(domain);
    case Granularity.Selective:
      return void caches.invalidateDeviceContexts(domain, field(low, 32, 16), field(low, 48, 2));
    default:
      return QueueError.ReservedField;
  }
}

function invalidateTranslations(low: bigint, high: bigint, { caches, maximumAddressMask }: QueueEffects): QueueErrorInfo | undefined {
  const domain = field(low, 16, 16);
  switch (field(low, 4, 2)) {
    case Granularity.Global:
      return void caches.invalidateTranslations();
    case Granularity.Domain:
      return void caches.invalidateDomain(domain);
    case Granularity.Selective: {
      const addressMask = field(high, 0, 6);
      if (addressMask > maximumAddressMask) return QueueError.ReservedField;
      return void caches.invalidatePages(domain, Number(high & 0xffff_ffff_ffff_f000n), addressMask, field(high, 6, 1) !== 0);
    }
    default:
      return QueueError.ReservedField;
  }
}

/** Everything before it has completed when it is reached: FN changes nothing. A status write that finds no memory is lost. */
function wait(low: bigint, high: bigint, { memory, completed }: QueueEffects): undefined {
  const address = Number(high);
  if ((low & Wait.SW) !== 0n && memory.host(address) !== 0) memory.write32(address, Number(low >> Wait.DATA_SHIFT));
  if ((low & Wait.IF) !== 0n) completed();
}
