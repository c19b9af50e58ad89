/** APIC-access, APIC-write and EOI exits in words. SDM "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses". */
import { vmxCause } from '../../debugger/explain/vmx-causes';
import { describeQualification } from '../../debugger/explain/vmx-qualification';

it.each([
  [0x0030n, 'data read at offset 0x30 of the APIC-access page'],
  [0x1300n, 'data write at offset 0x300 of the APIC-access page'],
  [0x2080n, 'instruction fetch at offset 0x80 of the APIC-access page'],
  [0x33f8n, 'access during the delivery of an event at offset 0x3f8 of the APIC-access page'],
  [0xa000n, 'access to a paging-structure entry during the delivery of an event, in the APIC-access page'],
  [0xf000n, 'access to a paging-structure entry, in the APIC-access page'],
  [0x7000n, 'access type 7 at offset 0x0 of the APIC-access page'],
])('APIC access, qualification %s', (qualification, text) => expect(describeQualification(44, qualification, 0)).toBe(text));

it('virtualized EOI: the vector; APIC write: the page offset', () => {
  expect([describeQualification(45, 0x81n, 0), describeQualification(56, 0x3f0n, 0)]).toEqual(['vector 0x81', 'page offset of the write 0x3f0']);
});

it('the causes name the field that decided', () => {
  const s = {
    low: (field: string) => (field === 'EXIT_QUALIFICATION' ? 0x81 : 5),
    read: () => 0xb000n,
    rcx: 0,
  };
  expect(vmxCause({ ...s, reason: 43 })).toMatch(/below the TPR threshold \(5\).*"TPR Virtualization"/);
  expect(vmxCause({ ...s, reason: 44 })).toMatch(/APIC-access page \(0xb000\).*"Virtualizing Memory-Mapped APIC Accesses"/);
  expect(vmxCause({ ...s, reason: 45 })).toMatch(/interrupt 0x81, whose bit in EOI-exit bitmap 2 is 1.*"EOI Virtualization"/);
  expect(vmxCause({ ...s, reason: 56 })).toMatch(/"APIC-Write VM Exits"/);
});
