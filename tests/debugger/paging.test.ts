import { Cr0, Cr4, Efer, type Cpu } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import { hostAddress, PageWalks, referencesOf } from '../../debugger/paging';

/** Entries by host-physical address; everything else is zero. */
const walks = (entries: Readonly<Record<number, bigint>>, eptRoot?: number, levels: 4 | 5 = 4): PageWalks =>
  new PageWalks(
    (physical) => (physical < 0x100_0000 ? (entries[physical] ?? 0n) : undefined),
    () => (eptRoot === undefined ? undefined : { kind: 'EPT', root: eptRoot, levels }),
  );

function cpu(cr3: number, mode: 'la57' | 'long' | 'pae' | '32-bit' | 'off', pdptes: readonly bigint[] = []): Cpu {
  const words: Record<number, bigint> = { [R.CR3]: BigInt(cr3) };
  pdptes.forEach((entry, n) => (words[R.PDPTE0 + 8 * n] = entry));
  return {
    cr0: mode === 'off' ? Cr0.PE : (Cr0.PE | Cr0.PG) >>> 0,
    cr4: mode === '32-bit' ? Cr4.PSE : Cr4.PAE | (mode === 'la57' ? Cr4.LA57 : 0),
    efer: mode === 'long' || mode === 'la57' ? Efer.LMA : 0,
    get64: (offset: number) => words[offset] ?? 0n,
  } as unknown as Cpu;
}

describe('walks as data', () => {
  it('four levels by four take 24 references, as the manuals count them', () => {
    // Guest tables at guest-physical 1000h, 2000h, 3000h, 4000h; EPT maps everything below 2 MiB to itself + 10_0000h, page by page.
    const offset = 0x10_0000;
    const entries: Record<number, bigint> = {
      [0x20_0000]: 0x20_1007n,
      [0x20_1000]: 0x20_2007n,
      [0x20_2000]: 0x20_3007n,
      [offset + 0x1000]: 0x2003n,
      [offset + 0x2000]: 0x3003n,
      [offset + 0x3000]: 0x4003n,
      [offset + 0x4000 + 5 * 8]: 0x8003n,
    };
    for (let page = 0; page < 16; page++) entries[0x20_3000 + page * 8] = BigInt(offset + page * 0x1000) | 0x37n;
    const walk = walks(entries, 0x20_0000).linear(cpu(0x1000, 'long'), 0x5123n);
    expect(walk.result).toBe(0x8123);
    expect(hostAddress(walk)).toBe(offset + 0x8123);
    expect(referencesOf(walk)).toBe(24);
    expect(walk.entries.map((e) => e.name)).toEqual(['PML4E', 'PDPTE', 'PDE', 'PTE']);
    expect(walk.nested?.entries.map((e) => e.name)).toEqual(['EPT PML4E', 'EPT PDPTE', 'EPT PDE', 'EPT PTE']);
  });

  it('five levels by five take 35 references, and 57-bit addresses are canonical', () => {
    // Guest tables at guest-physical 1000h to 5000h; EPT maps everything below 64 KiB to itself, page by page.
    const entries: Record<number, bigint> = {
      [0x20_0000]: 0x20_1007n,
      [0x20_1000]: 0x20_2007n,
      [0x20_2000]: 0x20_3007n,
      [0x20_3000]: 0x20_4007n,
      [0x1000 + 0x1fe * 8]: 0x2003n,
      [0x2000 + 3 * 8]: 0x3003n,
      [0x3000]: 0x4003n,
      [0x4000]: 0x5003n,
      [0x5000 + 5 * 8]: 0x8003n,
    };
    for (let page = 0; page < 16; page++) entries[0x20_4000 + page * 8] = BigInt(page * 0x1000) | 0x37n;
    const walk = walks(entries, 0x20_0000, 5).linear(cpu(0x1000, 'la57'), 0xfffe_0180_0000_5123n);
    expect([walk.kind, walk.problem, hostAddress(walk), referencesOf(walk)]).toEqual(['5-level', undefined, 0x8123, 35]);
    expect(walk.entries.map((e) => `${e.name} ${e.index}`)).toEqual(['PML5E 510', 'PML4E 3', 'PDPTE 0', 'PDE 0', 'PTE 5']);
    expect(walk.nested?.entries.map((e) => e.name)).toEqual(['EPT PML5E', 'EPT PML4E', 'EPT PDPTE', 'EPT PDE', 'EPT PTE']);
    expect(walks(entries).linear(cpu(0x1000, 'la57'), 0x100_0000_0000_0000n)).toMatchObject({ kind: '5-level', problem: 'the address is not canonical' });
  });

  it('2 MByte and 1 GByte pages end it earlier', () => {
    const large = walks({ 0x1000: 0x2003n, 0x2000: 0x3003n, 0x3008: 0x40_0083n }).linear(cpu(0x1000, 'long'), 0x2f_fff0n);
    expect([large.result, referencesOf(large), large.entries[2].pageSize]).toEqual([0x4f_fff0, 3, 0x20_0000]);
    const huge = walks({ 0x1000: 0x2003n, 0x2000: 0x4000_0083n }).linear(cpu(0x1000, 'long'), 0x123_4567n);
    expect([huge.result, referencesOf(huge), huge.entries[1].pageSize]).toEqual([0x4123_4567, 2, 0x4000_0000]);
  });

  it('PAE paging begins with registers: two references', () => {
    const walk = walks({ 0x3000: 0x4003n, 0x4008: 0x9003n }).linear(cpu(0x1000, 'pae', [0n, 0x3001n]), 0x4000_1abcn);
    expect([walk.result, referencesOf(walk)]).toEqual([0x9abc, 2]);
    expect(walks({}).linear(cpu(0x1000, 'pae'), 0n).problem).toContain('PDPTE0 is not present');
  });

  it('32-bit paging has entries of 4 bytes, and 4-MByte pages with bits 39:32 in 20:13', () => {
    // Entry 1 of the directory is the high half of the quadword.
    const small = walks({ 0x1000: 0x2003_0000_0000n, 0x2008: 0x7003n }).linear(cpu(0x1000, '32-bit'), 0x40_2010n);
    expect(small.result).toBe(0x7010);
    const large = walks({ 0x1000: 0x80_2083n }).linear(cpu(0x1000, '32-bit'), 0x12_3456n);
    expect(large.result).toBe(0x1_0092_3456);
  });

  it('says what is missing, and where', () => {
    expect(walks({ 0x1000: 0x2003n }).linear(cpu(0x1000, 'long'), 0x5000n)).toMatchObject({ result: undefined, problem: 'the PDPTE is not present' });
    expect(walks({}).linear(cpu(0x1000, 'long'), 0x8000_0000_0000n).problem).toBe('the address is not canonical');
    const nested = walks({ 0x20_0000: 0n }, 0x20_0000).linear(cpu(0x1000, 'long'), 0n);
    expect(nested.problem).toContain('the PML4E at guest-physical 0x1000 is not mapped: the EPT PML4E is not present');
    expect(walks({}).linear(cpu(0, 'off'), 0x1234n).result).toBe(0x1234);
  });
});
