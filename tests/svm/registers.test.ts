/** Which register goes to which field of the state-save area, with a value of its own each: APM "VMRUN Instruction", "#VMEXIT", "Segment State in the VMCB". */
import { Segment } from '../../cpu/decoder/insn';
import { R, S, seg } from '../../cpu/layout';
import { packAttributes, unpackAttributes } from '../../svm/vmcb/guest-registers';
import { VMCB_B, svmBench, type SvmBench } from './bench';

/** In protected mode a limit and a base for each segment; a 32-bit guest, in which they count. */
const GUEST_32 = { EFER: 0x1000, CR0: 0x11, CR4: 0, CS_ATTRIB: 0xc9b, SS_ATTRIB: 0xc93 } as const;
const segmentOf = (b: SvmBench, s: number): number[] => [S.SELECTOR, S.ACCESS, S.LIMIT, S.BASE].map((part) => b.cpu.get32(seg(s, part)));

describe('VMRUN and #VMEXIT', () => {
  it('ES, CS, SS and DS: selector, attributes, limit and base of each', () => {
    const b = svmBench();
    const patch = {
      ...{ ES_SELECTOR: 0x21, ES_ATTRIB: 0xc93, ES_LIMIT: 0x1111_1fff, ES_BASE: 0xffff_0000_0000_1000n },
      ...{ CS_SELECTOR: 0x08, CS_ATTRIB: 0xc9b, CS_LIMIT: 0xffff_ffff, CS_BASE: 0 },
      ...{ SS_SELECTOR: 0x10, SS_ATTRIB: 0xc97, SS_LIMIT: 0x3333_3fff, SS_BASE: 0x3000 },
      ...{ DS_SELECTOR: 0x18, DS_ATTRIB: 0x493, DS_LIMIT: 0x4_4444, DS_BASE: 0x4000 },
    } as const;
    b.create([], { ...GUEST_32, ...patch });
    const inGuest: Record<string, number[]> = {};
    // Bases of these have 32 bits.
    let high: number[] = [];
    b.svm.observer = {
      entry: () => {
        for (const name of ['ES', 'CS', 'SS', 'DS'] as const) inGuest[name] = segmentOf(b, Segment[name]);
        high = [Segment.ES, Segment.CS, Segment.SS, Segment.DS].map((s) => b.cpu.get32(seg(s, S.BASE) + 4));
      },
    };
    b.enter();
    expect(inGuest).toEqual({
      ES: [0x21, 0xc093, 0x1111_1fff, 0x1000],
      CS: [0x08, 0xc09b, 0xffff_ffff, 0],
      SS: [0x10, 0xc097, 0x3333_3fff, 0x3000],
      DS: [0x18, 0x4093, 0x4_4444, 0x4000],
    });
    expect(high).toEqual([0, 0, 0, 0]);
    // The guest changes them where the processor keeps them; #VMEXIT writes what it finds.
    b.svm.observer = {
      entry: () => {
        b.cpu.setSegment(Segment.ES, 0x2b, 0x80f3, 0x5555, 0x5000n);
        b.cpu.setSegment(Segment.SS, 0x33, 0xc093, 0x6666_6fff, 0x6000n);
        b.cpu.setSegment(Segment.DS, 0x3b, 0x1093, 0x7777, 0x7000n);
      },
    };
    b.enter();
    const read = (names: readonly Parameters<SvmBench['read']>[0][]): bigint[] => names.map((name) => b.read(name));
    expect(read(['ES_SELECTOR', 'ES_ATTRIB', 'ES_LIMIT', 'ES_BASE'])).toEqual([0x2bn, 0x8f3n, 0x5555n, 0x5000n]);
    expect(read(['SS_SELECTOR', 'SS_ATTRIB', 'SS_LIMIT', 'SS_BASE'])).toEqual([0x33n, 0xc93n, 0x6666_6fffn, 0x6000n]);
    expect(read(['DS_SELECTOR', 'DS_ATTRIB', 'DS_LIMIT', 'DS_BASE'])).toEqual([0x3bn, 0x193n, 0x7777n, 0x7000n]);
    expect(read(['CS_SELECTOR', 'CS_ATTRIB', 'CS_LIMIT', 'CS_BASE'])).toEqual([0x08n, 0xc9bn, 0xffff_ffffn, 0n]);
  });

  it('CR0, DR6 and rSP as the guest left them, all 64 bits of rSP', () => {
    const b = svmBench();
    b.create([], { RSP: 0x1234_5678_0000_1000n });
    let rsp = 0n;
    b.svm.observer = {
      entry: () => {
        rsp = b.cpu.gpr(4);
        b.cpu.set64(R.CR0, 0x8001_003bn);
        b.cpu.set64(R.DR6, 0xffff_4ff2n);
        b.cpu.setGpr(4, 0x8765_4321_0000_2000n);
      },
    };
    b.enter();
    expect(rsp).toBe(0x1234_5678_0000_1000n);
    expect([b.read('CR0'), b.read('DR6'), b.read('RSP')]).toEqual([0x8001_003bn, 0xffff_4ff2n, 0x8765_4321_0000_2000n]);
  });
});

describe('VMLOAD and VMSAVE', () => {
  it('a limit and attributes for each of FS, GS, LDTR and TR', () => {
    const b = svmBench();
    b.vmcb = VMCB_B;
    const segments = ['FS', 'GS', 'LDTR', 'TR'] as const;
    const attributes = { FS: 0xc93, GS: 0x4f3, LDTR: 0x182, TR: 0x88b };
    segments.forEach((name, i) =>
      b.write({
        [`${name}_SELECTOR`]: 8 * (i + 1),
        [`${name}_ATTRIB`]: attributes[name],
        [`${name}_LIMIT`]: 0x1_0000 * (i + 1),
        [`${name}_BASE`]: 0x1234_0000_0000 + i,
      }),
    );
    b.svm.vmload(VMCB_B);
    expect(segments.map((name) => segmentOf(b, Segment[name]))).toEqual([
      [0x08, 0xc093, 0x1_0000, 0],
      [0x10, 0x40f3, 0x2_0000, 1],
      [0x18, 0x1082, 0x3_0000, 2],
      [0x20, 0x808b, 0x4_0000, 3],
    ]);
    b.memory.writeBytes(VMCB_B, new Uint8Array(0x1000));
    b.svm.vmsave(VMCB_B);
    segments.forEach((name, i) => {
      expect(b.read(`${name}_ATTRIB`)).toBe(BigInt(attributes[name]));
      expect([b.read(`${name}_SELECTOR`), b.read(`${name}_LIMIT`), b.read(`${name}_BASE`)]).toEqual([
        8n * BigInt(i + 1),
        0x1_0000n * BigInt(i + 1),
        0x1234_0000_0000n + BigInt(i),
      ]);
    });
  });
});

describe('attributes: descriptor bits 55:52 and 47:40 in twelve bits', () => {
  // Access rights as the processor has them: bits 7:0, 15:12 and 16 (cannot be used).
  it.each([
    ['every bit', 0xfff, 0xf0ff],
    ['the lowest of each part', 0x181, 0x1081],
    ['type and P', 0x09b, 0x009b],
  ])('%s', (_name, attributes, access) => {
    expect(unpackAttributes(attributes)).toBe(access);
    expect(packAttributes(access)).toBe(attributes);
  });
  it('without P the segment cannot be used; one that cannot be used is saved without P', () => {
    expect(unpackAttributes(0x013)).toBe(0x1_0013);
    expect(packAttributes(0x1_0093)).toBe(0x013);
    expect(packAttributes(0x1_0081)).toBe(0x001);
  });
});
