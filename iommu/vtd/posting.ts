/** Interrupt posting: VT-d specification, "Interrupt Posting Hardware Operation". */
import { MessageAddress, MessageData, type InterruptMessage } from '../../devices/interrupt-message';
import type { TableMemory } from '../table-memory';
import type { PostedEntry } from './interrupt-entry';
import { hex, refuse, type Refusal } from './refusal';
import { FaultReason } from './spec/fault-reasons';
import { PostedDescriptor as Pid } from './spec/interrupts';

/** What to send: the notification event, or nothing when one is outstanding or suppressed. */
export interface Posted {
  readonly notification: InterruptMessage | undefined;
}

/** Puts the vector into the descriptor. All of it is one atomic access on hardware. */
export function post(memory: TableMemory, entry: PostedEntry, source: number, extended: boolean): Posted | Refusal {
  const { descriptor, vector, urgent, walk, faultProcessingDisabled: fpd } = entry;
  const at = `posted interrupt descriptor at ${hex(descriptor)}`;
  if (memory.host(descriptor) === 0) return refuse(FaultReason.PostedDescriptorAccess, walk, at, fpd);
  const control = memory.read32(descriptor + Pid.CONTROL);
  let reserved = (control & Pid.CONTROL_RESERVED) !== 0;
  for (let offset: number = Pid.RESERVED; offset < Pid.BYTES; offset += 4) reserved ||= memory.read32(descriptor + offset) !== 0;
  if (reserved) return refuse(FaultReason.PostedDescriptorReserved, walk, at, fpd);

  const word = descriptor + Pid.PIR + 4 * (vector >>> 5);
  memory.write32(word, (memory.read32(word) | (1 << (vector & 31))) >>> 0);
  // "X = ((ON == 0) & (URG | (SN == 0)))": then ON is set, and the notification event is generated.
  if ((control & Pid.ON) !== 0 || (!urgent && (control & Pid.SN) !== 0)) return { notification: undefined };
  memory.write32(descriptor + Pid.CONTROL, (control | Pid.ON) >>> 0);
  return { notification: notification(memory.read32(descriptor + Pid.NDST), (control >>> Pid.NV_SHIFT) & 0xff, source, extended) };
}

/** A fixed, edge-triggered interrupt to one physical APIC id, which is in bits 15:8 of NDST without x2APIC. */
function notification(ndst: number, vector: number, source: number, extended: boolean): InterruptMessage {
  const destination = extended ? ndst : (ndst >>> 8) & 0xff;
  const address = MessageAddress.BASE + (destination & 0xff) * 2 ** MessageAddress.DESTINATION_SHIFT;
  return { address, data: vector | MessageData.ASSERT, source, extendedDestination: extended ? destination : undefined };
}
