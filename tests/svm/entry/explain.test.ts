/** What users read when VMRUN refuses a VMCB, and that the tables say all that they read. */
import fc from 'fast-check';
import { fieldValue, violations as violationsOf, type EntryState } from '../../../svm/entry/check';
import { explain, reservedUses, violations } from '../../../svm/entry/explain';
import { firstBroken } from '../../../svm/entry/first-broken';
import { ALL_CHECKS, CHECK_GROUPS } from '../../../svm/entry/groups';
import { RESERVED_USES } from '../../../svm/entry/reserved';
import { SvmFeature } from '../../../svm/features';
import { FIELDS, FIELD_NAMES, fieldAt } from '../../../svm/vmcb/fields';
import type { VmcbField } from '../../../svm/vmcb/layout';
import { PAE_GUEST, PROCESSOR, REAL_MODE_GUEST, VmcbImage, type Patch } from './vmcb-image';
import { runs } from '../../runs';

const explanations = (patch: Patch, processor = {}): string[] => violations(new VmcbImage(patch, processor)).map(explain);

describe('an explanation', () => {
  it('has the rule, the value and the place in the manual', () =>
    expect(explanations({ EFER: 0xd01 })).toEqual([
      'EFER.SVME is set.\n  here: EFER = 0xd01\n  AMD64 APM volume 2, Secure Virtual Machine: "Canonicalization and Consistency Checks"  [efer.svme]',
    ]));
  it('shows what the rule read of the processor, too', () => {
    expect(explanations({ N_CR3: 1n << 50n })[0]).toContain('here: NESTED_CONTROL = 0x1, N_CR3 = 0x4000000000000, physicalAddressWidth = 48\n');
    expect(explanations({}, { hostPaging: false })[0]).toContain('here: NESTED_CONTROL = 0x1, hostPaging = false\n');
    expect(explanations({ EFER: 0x1d03 })[0]).toContain('here: EFER = 0x1d03, supportedEfer = 0xfd01\n');
    expect(explanations({ ...REAL_MODE_GUEST, EFER: 0x1100 }, { supportedEfer: 0x1800 })[0]).toContain('here: EFER = 0x1100, supportedEfer = 0x1800\n');
    const reserved = reservedUses(new VmcbImage({ NESTED_CONTROL: 1 }, { svmFeatures: 0x8000_0010 }));
    expect(reserved.map(explain)[0]).toContain('here: NESTED_CONTROL = 0x1, svmFeatures = 0x80000010\n');
    expect(explanations({ CR4: 0x26b0 })[0]).toContain(`CR4 = 0x26b0, supportedCr4 = 0x${PROCESSOR.supportedCr4.toString(16)}`);
  });
  it('shows narrow fields alone, without their neighbours in the word', () => {
    expect(explanations({ CS_SELECTOR: 0x1234, CS_ATTRIB: 0xe9b })[0]).toContain('CS_ATTRIB = 0xe9b\n');
    expect(reservedUses(new VmcbImage({ TLB_CONTROL: 2, ERAP_CONTROL: 3 })).map(explain)[0]).toContain('TLB_CONTROL = 0x2,');
  });
});

describe('reserved uses, which VMRUN does not refuse', () => {
  const ids = (patch: Patch, processor = {}): string[] => reservedUses(new VmcbImage(patch, processor)).map((v) => v.check.id);
  it('are none in an ordinary VMCB', () => {
    for (const patch of [{}, REAL_MODE_GUEST, PAE_GUEST]) expect(ids(patch)).toEqual([]);
  });
  it.each([0, 1, 3, 7])('TLB_CONTROL %i is defined', (command) => expect(ids({ TLB_CONTROL: command })).toEqual([]));
  it.each([2, 4, 5, 6, 8, 0x80, 0xff])('TLB_CONTROL %i is reserved', (command) => expect(ids({ TLB_CONTROL: command })).toEqual(['reserved.tlb-control']));
  it('TLB_CONTROL 3 and 7 are "optional and indicated by CPUID Fn8000_000A_EDX[FlushByAsid]"', () => {
    expect(ids({ TLB_CONTROL: 3 }, { svmFeatures: 1 })).toEqual(['reserved.tlb-control']);
    expect(ids({ TLB_CONTROL: 7 }, { svmFeatures: 1 })).toEqual(['reserved.tlb-control']);
  });
  it('FlushByAsid is bit 6', () => {
    for (const command of [3, 7]) {
      expect(ids({ TLB_CONTROL: command }, { svmFeatures: 1 | (1 << 6) })).toEqual([]);
      expect(ids({ TLB_CONTROL: command }, { svmFeatures: 1 | (1 << 7) })).toEqual(['reserved.tlb-control']);
    }
  });
  // APM "Exceptions and Interrupts": #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP and #SX push an error code.
  const WITH_ERROR_CODE = [8, 10, 11, 12, 13, 14, 17, 21, 30];
  it.each(Array.from({ length: 32 }, (_, vector) => vector))('exception %i has EV exactly if it pushes an error code', (vector) => {
    const event = 0x8000_0300 + vector;
    const pushes = WITH_ERROR_CODE.includes(vector);
    expect(ids({ EVENTINJ: event + 0x800 })).toEqual(pushes ? [] : ['reserved.eventinj-error-code']);
    expect(ids({ EVENTINJ: event })).toEqual(pushes ? ['reserved.eventinj-error-code'] : []);
  });
  it('an ASID that the processor does not have', () => {
    expect(ids({ GUEST_ASID: 15 }, { asids: 16 })).toEqual([]);
    expect(ids({ GUEST_ASID: 16 }, { asids: 16 })).toEqual(['reserved.asid']);
  });
  it('EVENTINJ bits 30:12 (SBZ), and an EV bit that does not go with the event', () => {
    expect(ids({ EVENTINJ: 0x8000_0b0d })).toEqual([]);
    expect(ids({ EVENTINJ: 0x8000_1b0d })).toEqual(['reserved.eventinj']);
    expect(ids({ EVENTINJ: 0x8000_030d })).toEqual(['reserved.eventinj-error-code']);
    expect(ids({ EVENTINJ: 0x8000_0b06 })).toEqual(['reserved.eventinj-error-code']);
    expect(ids({ EVENTINJ: 0x8000_0820 })).toEqual(['reserved.eventinj-error-code']);
    expect(ids({ EVENTINJ: 0x7fff_ffff })).toEqual([]);
  });
  // APM Appendix B: the field and bit of each enable; the feature that brings it.
  it.each<[string, Patch, keyof typeof SvmFeature]>([
    ['reserved.np-enable', { NESTED_CONTROL: 1 << 0 }, 'NP'],
    ['reserved.gmet-enable', { NESTED_CONTROL: 1 << 3 }, 'GMET'],
    ['reserved.sss-check-enable', { NESTED_CONTROL: 1 << 4 }, 'SSS_CHECK'],
    ['reserved.rogpt-enable', { NESTED_CONTROL: 1 << 6 }, 'ROGPT'],
    ['reserved.v-gif-enable', { V_INTR: 1 << 25 }, 'VGIF'],
    ['reserved.v-nmi-enable', { V_INTR: 1 << 26 }, 'VNMI'],
    ['reserved.avic-enable', { V_INTR: 0x8000_0000 }, 'AVIC'],
    ['reserved.x2avic-enable', { V_INTR: 1 << 30 }, 'X2AVIC'],
    ['reserved.lbr-virtualization-enable', { VIRTUALIZATION_ENABLE: 1 << 0 }, 'LBR_VIRT'],
    ['reserved.vmsave-vmload-virtualization-enable', { VIRTUALIZATION_ENABLE: 1 << 1 }, 'VMSAVE_VIRT'],
  ])('%s: %j on a processor without %s', (id, patch, feature) => {
    const state = { NESTED_CONTROL: 0, ...patch };
    expect(ids(state, { svmFeatures: ~SvmFeature[feature] })).toEqual([id]);
    expect(ids(state, { svmFeatures: SvmFeature[feature] })).toEqual([]);
    expect(ids({ NESTED_CONTROL: 0 }, { svmFeatures: 0 })).toEqual([]);
  });
  it('are not rules: VMRUN asks none of them', () => {
    expect(RESERVED_USES.filter((use) => ALL_CHECKS.includes(use))).toEqual([]);
    expect(firstBroken(new VmcbImage({ TLB_CONTROL: 2, GUEST_ASID: 0xffff_ffff, EVENTINJ: 0xffff_f820 }))).toBeUndefined();
  });
});

const ANY_64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** Any bytes in the fields that rules read, with the values that matter made likely. */
const RULE_FIELDS = [...new Set(ALL_CHECKS.flatMap((c) => c.fields))];
const LIKELY: Patch[] = [
  {},
  REAL_MODE_GUEST,
  PAE_GUEST,
  { EFER: 0x1d01 },
  { CR4: 0x6b0 },
  { NESTED_CONTROL: 0 },
  { EVENTINJ: 0x8000_0305 },
  { CS_ATTRIB: 0xe9b },
];
const anyImage = fc
  .record({
    patches: fc.subarray(LIKELY),
    fields: fc.array(fc.tuple(fc.constantFrom(...RULE_FIELDS), ANY_64), { maxLength: 2 }),
    flips: fc.array(fc.tuple(fc.constantFrom(...RULE_FIELDS), fc.nat(63)), { maxLength: 3 }),
    pdpe: fc.constantFrom(0, 0x6001, 0x6003),
    processor: fc.record({
      hostPaging: fc.boolean(),
      physicalAddressWidth: fc.constantFrom(36, 46, 48, 52),
      supportedCr4: fc.constantFrom(PROCESSOR.supportedCr4, PROCESSOR.supportedCr4 | 0x80_0000),
      svmFeatures: fc.constantFrom(PROCESSOR.svmFeatures, PROCESSOR.svmFeatures & ~1),
    }),
  })
  .map(({ patches, fields, flips, pdpe, processor }) => {
    const image = new VmcbImage(Object.assign({}, ...patches) as Patch, processor);
    image.memory.set(0x5010, pdpe);
    for (const [name, value] of fields) image.write(name, value);
    for (const [name, bit] of flips) image.write(name, fieldValue(image, name) ^ (1n << BigInt(bit)));
    return image;
  });

describe('the tables', () => {
  it('give VMRUN and the user the same answer', () =>
    fc.assert(
      fc.property(anyImage, (image) => {
        expect(firstBroken(image)?.id).toBe(violations(image)[0]?.check.id);
      }),
      { numRuns: runs(1000) },
    ));

  it('have no rule that could break in a group that does not apply', () =>
    fc.assert(
      fc.property(anyImage, (image) => {
        for (const { checks, applies } of CHECK_GROUPS) if (applies && !applies(image)) expect(violationsOf(checks, image)).toEqual([]);
      }),
      { numRuns: 1000 },
    ));

  it('name every field and every fact of the processor that they read', () =>
    fc.assert(
      fc.property(anyImage, (image) => {
        for (const check of [...ALL_CHECKS, ...RESERVED_USES]) {
          const words = new Set<number>();
          const facts = new Set<string>();
          const recording = new Proxy<EntryState>(image, {
            get: (target, key) => {
              if (key === 'word') return (offset: number) => (words.add(offset), image.word(offset));
              if (key in PROCESSOR) facts.add(key as string);
              const value: unknown = Reflect.get(target, key);
              return typeof value === 'function' ? (value.bind(target) as unknown) : value;
            },
          });
          if (check.when?.(recording) ?? true) check.holds(recording);
          // A word may hold several fields: one of them must be named.
          for (const word of words) {
            const inWord = [0, 1, 2, 3].map((i) => fieldAt(word + i)?.name).filter((name) => name !== undefined);
            expect([check.id, inWord, inWord.some((name) => check.fields.includes(name))]).toEqual([check.id, inWord, true]);
          }
          // Whether a feature exists decides if a bit means anything: svmFeatures is shown where the rule is about it.
          const named: readonly string[] = [...(check.facts ?? []), 'svmFeatures'];
          expect([...facts].filter((fact) => !named.includes(fact)).map((fact) => `${check.id}: ${fact}`)).toEqual([]);
        }
      }),
      { numRuns: 200 },
    ));

  it('read a field of any width and alignment', () =>
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), fc.constantFrom(...FIELD_NAMES), (bytes, name) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset, 4096);
        const state = { ...new VmcbImage(), word: (offset: number) => view.getUint32(offset, true), memory32: () => 0 };
        const { offset, bits } = FIELDS[FIELD_NAMES.indexOf(name)];
        let expected = 0n;
        for (let i = Math.min(bits, 64) / 8 - 1; i >= 0; i--) expected = (expected << 8n) | BigInt(bytes[offset + i]);
        if (bits <= 64) expect(fieldValue(state, name)).toBe(expected);
      }),
      { numRuns: 200 },
    ));
});

describe('a written field', () => {
  it('is read back as it was written', () =>
    fc.assert(
      fc.property(fc.constantFrom(...FIELD_NAMES.filter((n) => FIELDS[FIELD_NAMES.indexOf(n)].bits <= 64)), ANY_64, (name: VmcbField, value) => {
        const image = new VmcbImage();
        image.write(name, value);
        expect(fieldValue(image, name)).toBe(BigInt.asUintN(FIELDS[FIELD_NAMES.indexOf(name)].bits, value));
      }),
    ));
});
