/** Interrupt messages that the unit makes: remapped ones, and its own. */
import { MessageAddress, MessageData, type InterruptMessage } from '../../devices/interrupt-message';

export interface OutgoingInterrupt {
  readonly destination: number;
  readonly logical: boolean;
  readonly vector: number;
  readonly deliveryMode: number;
  /** 32-bit destinations (x2APIC). */
  readonly extended: boolean;
  /** Data and address bits taken over from a message that is remapped. */
  readonly passed?: number;
  readonly hint?: number;
}

export function composeMessage(interrupt: OutgoingInterrupt, source: number): InterruptMessage {
  const { destination, logical, vector, deliveryMode, extended, passed = MessageData.ASSERT, hint = 0 } = interrupt;
  return {
    address: MessageAddress.BASE + (destination & 0xff) * 2 ** MessageAddress.DESTINATION_SHIFT + (logical ? MessageAddress.LOGICAL : 0) + hint,
    data: vector | (deliveryMode << MessageData.MODE_SHIFT) | passed,
    source,
    extendedDestination: extended ? destination : undefined,
  };
}
