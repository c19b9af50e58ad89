/** Expected bytes are those of the GDB manual's chapter on the remote protocol, or of a protocol log of GDB 13. */
import fc from 'fast-check';
import { PacketReader, encodePacket } from '../../../debugger/gdb/packet';

const LIMIT = 256;
type Heard = string;

function hear(pieces: readonly Uint8Array[]): Heard[] {
  const heard: Heard[] = [];
  const reader = new PacketReader(LIMIT, {
    packet: (body) => heard.push(`packet ${body}`),
    malformed: () => heard.push('malformed'),
    tooLong: () => heard.push('too long'),
    acknowledged: (good) => heard.push(good ? '+' : '-'),
    interrupt: () => heard.push('interrupt'),
  });
  for (const piece of pieces) reader.receive(piece);
  return heard;
}
const text = (t: string): Uint8Array => Buffer.from(t, 'latin1');

describe('packets in', () => {
  const rows: readonly [string, string, readonly Heard[]][] = [
    ['a packet', '$vMustReplyEmpty#3a', ['packet vMustReplyEmpty']],
    ['an empty one', '$#00', ['packet ']],
    ['capital digits', '$qOffsets#4B', ['packet qOffsets']],
    ['acknowledgements around it', '+$?#3f-', ['+', 'packet ?', '-']],
    ['Ctrl-C between packets', '\x03$g#67', ['interrupt', 'packet g']],
    ['a repeat: "0* " is 0000', '$0* #7a', ['packet 0000']],
    ['an escape: } and the character xor 0x20', '$}\x03}\x04}]}\x0a#6c', ['malformed']],
    ['a wrong checksum', '$g#68', ['malformed']],
    ['a checksum that is no number', '$g#zz', ['malformed']],
    ['an escape of nothing', '$a}#de', ['malformed']],
    ['a repeat of nothing', '$* #4a', ['malformed']],
    ['a count below 3', '$0*\x1f#79', ['malformed']],
    ['a packet that was cut off, and the next', '$qSup$g#67', ['packet g']],
    ['noise between packets', 'hello\r\n$g#67', ['packet g']],
  ];
  test.each(rows)('%s', (_name, bytes, heard) => {
    expect(hear([text(bytes)])).toEqual(heard);
    // Cut into single bytes it is the same.
    expect(hear([...text(bytes)].map((b) => Uint8Array.of(b)))).toEqual(heard);
  });

  test('escaped special characters stand for themselves', () => {
    const body = '}\x03}\x04}]}\x0a';
    const sum = [...text(body)].reduce((a, b) => a + b, 0) & 0xff;
    expect(hear([text(`$${body}#${sum.toString(16).padStart(2, '0')}`)])).toEqual(['packet #$}*']);
  });

  test('no body is longer than the limit, not even by repeats', () => {
    expect(hear([encodePacket('x'.repeat(LIMIT))])).toEqual([`packet ${'x'.repeat(LIMIT)}`]);
    expect(hear([encodePacket('x'.repeat(LIMIT + 1)), encodePacket('g')])).toEqual(['too long', 'packet g']);
    const bomb = '0' + '*~'.repeat(LIMIT / 2 - 1);
    const sum = [...text(bomb)].reduce((a, b) => a + b, 0) & 0xff;
    expect(hear([text(`$${bomb}#${sum.toString(16).padStart(2, '0')}`)])).toEqual(['too long']);
  });
});

describe('packets out', () => {
  test('are what the manual shows', () => {
    expect(Buffer.from(encodePacket('OK')).toString('latin1')).toBe('$OK#9a');
    expect(Buffer.from(encodePacket('')).toString('latin1')).toBe('$#00');
    expect(Buffer.from(encodePacket('#')).toString('latin1')).toBe('$}\x03#80');
  });

  test('come back as they were, whatever bytes they have', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: LIMIT / 2 }), (bytes) => {
        const body = Buffer.from(bytes).toString('latin1');
        expect(hear([encodePacket(body)])).toEqual([`packet ${body}`]);
      }),
    );
  });
});

test('after any bytes at all the next packet is heard', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (pieces) => {
      const heard = hear([...pieces, encodePacket('qC')]);
      expect(heard.at(-1)).toBe('packet qC');
    }),
  );
});
