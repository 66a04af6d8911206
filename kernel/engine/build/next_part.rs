    // Inserted into wasmi's `parser/buffered.rs` by `build/edits.rs`: one part of a module at a time,
    // where wasmi's own loop goes to the end. Function bodies and data segments are left to
    // `kernel/engine/src/translation.rs`.

    /// A parser that validates.
    pub(crate) fn validating(engine: &crate::Engine) -> Self {
        let mut parser = Self::new(engine);
        parser.validator = Some(Validator::new_with_features(engine.config().wasm_features()));
        parser
    }

    /// The kind of the part that begins at `rest`, and its bytes; nothing is processed.
    pub(crate) fn peek<'a>(&self, rest: &'a [u8]) -> Option<Payload<'a>> {
        match self.parser.clone().parse(rest, true) {
            Ok(Chunk::Parsed { payload, .. }) => Some(payload),
            _ => None,
        }
    }

    /// Processes the part that begins at `rest`; how many bytes it took, and what is left to do.
    pub(crate) fn next_part<'a>(
        &mut self,
        rest: &'a [u8],
        module: &mut ModuleBuilder,
    ) -> Result<(usize, crate::translation::Part<'a>), Error> {
        use crate::translation::Part;
        let mut buffer = rest;
        let (consumed, payload) = self.next_payload(&mut buffer)?;
        match payload {
            Payload::CodeSectionEntry(body) => {
                let (index, function) = self.next_func(module);
                let Some(validator) = &mut self.validator else {
                    return Err(Error::new("translation in steps needs a validator"));
                };
                let checks = validator.code_section_entry(&body)?;
                let header = module.header()?;
                return Ok((consumed, Part::Function { index, function, body, checks, header }));
            }
            Payload::DataSection(section) => {
                if let Some(limit) = self.engine.config().get_enforced_limits().max_data_segments
                    && section.count() > limit
                {
                    let error = crate::errors::EnforcedLimitsError::TooManyDataSegments { limit };
                    return Err(Error::from(error));
                }
                if let Some(validator) = &mut self.validator {
                    validator.data_section(&section)?;
                }
                return Ok((consumed, Part::Data(section)));
            }
            Payload::End(offset) => {
                self.process_end(offset)?;
                return Ok((consumed, Part::End));
            }
            Payload::Version { num, encoding, range } => self.process_version(num, encoding, range),
            Payload::TypeSection(section) => self.process_types(section, module),
            Payload::ImportSection(section) => self.process_imports(section, module),
            Payload::FunctionSection(section) => self.process_functions(section, module),
            Payload::TableSection(section) => self.process_tables(section, module),
            Payload::MemorySection(section) => self.process_memories(section, module),
            Payload::GlobalSection(section) => self.process_globals(section, module),
            Payload::ExportSection(section) => self.process_exports(section, module),
            Payload::StartSection { func, range } => self.process_start(func, range, module),
            Payload::ElementSection(section) => self.process_element(section, module),
            Payload::DataCountSection { count, range } => {
                self.process_data_count(count, range, module)
            }
            Payload::CodeSectionStart { count, range, size } => {
                self.process_code_start(count, range, size)
            }
            Payload::CustomSection(reader) => self.process_custom_section(reader, module),
            unexpected => self.process_invalid_payload(unexpected),
        }?;
        Ok((consumed, Part::Section))
    }

